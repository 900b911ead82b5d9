"""The read model of the batch gateway."""
