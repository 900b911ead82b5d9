"""Revisions of the runner's schema."""
