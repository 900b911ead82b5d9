"""Events of the services, one module per service."""
