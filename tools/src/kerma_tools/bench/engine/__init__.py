"""Benches of the engines: converting, reading and merging, scoring."""
