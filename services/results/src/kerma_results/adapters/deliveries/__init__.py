"""Results that clusters post: read in confined processes, stored page by page."""
