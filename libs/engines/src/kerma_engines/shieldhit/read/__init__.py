"""Read SHIELD-HIT12A's result files into estimators."""
