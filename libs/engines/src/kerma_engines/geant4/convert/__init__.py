"""Convert a project to Geant4's geometry and macro."""
