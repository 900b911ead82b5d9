"""The worker: a separate process that runs engines and has no database."""
