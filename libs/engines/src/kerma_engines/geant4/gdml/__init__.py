"""Geometry that users bring: what it holds and how large it gets, before Geant4 reads it."""
