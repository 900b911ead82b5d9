"""Benches of what programs outside of Kerma call."""
