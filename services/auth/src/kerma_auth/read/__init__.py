"""What the auth service answers from."""
