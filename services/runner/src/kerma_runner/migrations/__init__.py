"""Migrations of the runner's schema."""
