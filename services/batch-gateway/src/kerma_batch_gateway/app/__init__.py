"""What operators do with clusters."""
