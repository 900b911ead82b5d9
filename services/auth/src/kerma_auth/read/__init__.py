"""The read model of the auth service."""
