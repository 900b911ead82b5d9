"""Clients of a running Kerma: people, scripts, readers of streams."""
