"""Convert a project to SHIELD-HIT12A's input files."""
