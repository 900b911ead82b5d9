"""Encodings of a page: arrays, JSON, compressed fragments."""
