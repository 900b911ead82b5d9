"""Read FLUKA's result files into estimators."""
