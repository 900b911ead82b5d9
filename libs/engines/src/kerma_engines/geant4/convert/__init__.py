"""Convert a project, or check a user's files, for Geant4: geometry and macro."""
