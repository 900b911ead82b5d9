"""Adapters of the jobs service."""
