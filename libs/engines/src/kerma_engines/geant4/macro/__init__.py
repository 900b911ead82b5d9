"""Macros that users bring: which commands Geant4 gets, in one checked form."""
