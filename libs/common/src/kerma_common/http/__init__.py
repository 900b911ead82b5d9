"""The REST edge that all services share."""
