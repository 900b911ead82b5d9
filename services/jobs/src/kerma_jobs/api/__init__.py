"""Routes of the jobs service."""
