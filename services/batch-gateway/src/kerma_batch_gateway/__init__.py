"""The batch gateway: clusters that tasks can be sent to."""
