"""Convert a project to FLUKA's input file."""
