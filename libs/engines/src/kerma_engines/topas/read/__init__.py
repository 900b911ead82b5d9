"""Read TOPAS's result files into estimators."""
