"""Convert a project to TOPAS's parameter files."""
