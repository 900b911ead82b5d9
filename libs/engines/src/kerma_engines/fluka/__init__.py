"""The FLUKA engine."""
