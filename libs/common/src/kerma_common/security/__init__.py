"""Authentication: signed tokens, which every service verifies with keys it has projected."""
