"""Content-addressed bytes outside the event log."""
