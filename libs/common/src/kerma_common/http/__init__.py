"""The REST edge every service shares."""
