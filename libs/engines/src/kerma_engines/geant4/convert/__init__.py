"""From a project, or a user's files, to Geant4's geometry and macro."""
