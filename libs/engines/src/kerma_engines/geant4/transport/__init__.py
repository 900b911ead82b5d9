"""The process that runs Geant4."""
