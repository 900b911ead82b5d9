"""What the batch gateway answers from."""
