"""Benches of the event log and of what is projected from it."""
