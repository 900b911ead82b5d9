"""Merges, in confined processes."""
