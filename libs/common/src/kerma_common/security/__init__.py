"""Authentication: signed tokens, which every process verifies with keys it reads from AUTH."""
