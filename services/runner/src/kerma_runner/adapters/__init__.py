"""The runner's ports on NATS."""
