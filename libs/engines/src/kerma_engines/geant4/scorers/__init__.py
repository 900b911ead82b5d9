"""Scorers and filters that Geant4 lacks, and the grammar that declares them."""
