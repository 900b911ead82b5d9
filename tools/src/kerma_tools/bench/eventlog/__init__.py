"""Benches of the event log and its projections."""
