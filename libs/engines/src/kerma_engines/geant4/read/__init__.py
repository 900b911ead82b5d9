"""Read Geant4's result files into estimators."""
