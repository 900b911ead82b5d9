"""What operators do to a running system, without its services."""
