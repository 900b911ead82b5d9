"""Engines' parsers and readers, in confined processes."""
