"""Routes of the batch gateway."""
