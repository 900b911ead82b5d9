"""Hostile clients, and what others notice of them."""
