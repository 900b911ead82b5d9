"""Benches of a whole Kerma, as ``kerma up`` starts it."""
