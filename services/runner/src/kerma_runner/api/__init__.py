"""The runner's interfaces: worker requests over NATS; engines and demand over HTTP."""
