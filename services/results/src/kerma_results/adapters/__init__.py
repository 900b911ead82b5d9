"""Results' ports on blobs, engines and the database."""
