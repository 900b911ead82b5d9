"""The read model of the jobs service."""
