"""The event log: its port, the JetStream adapter, and an in-memory adapter for unit tests."""
