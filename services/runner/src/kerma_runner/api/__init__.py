"""The runner's edges: requests of workers over NATS, the demand over HTTP."""
