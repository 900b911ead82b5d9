"""Use cases and process managers of the jobs service."""
