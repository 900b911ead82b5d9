"""In front of the services: gateways, paths for operators, health, the OpenAPI document."""
