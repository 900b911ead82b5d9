"""Adapters of the runner: tickets, signals and heartbeats."""
