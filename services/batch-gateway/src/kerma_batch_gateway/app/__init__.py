"""What operators can do with clusters."""
