"""Adapters of the results service: blobs, engines, the database."""
