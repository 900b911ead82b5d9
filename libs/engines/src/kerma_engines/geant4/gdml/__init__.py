"""User-supplied geometry: its contents and size, checked before Geant4 reads it."""
