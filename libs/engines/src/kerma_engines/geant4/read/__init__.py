"""From Geant4's result files to estimators."""
