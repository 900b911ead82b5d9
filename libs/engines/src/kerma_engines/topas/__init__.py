"""The TOPAS engine."""
