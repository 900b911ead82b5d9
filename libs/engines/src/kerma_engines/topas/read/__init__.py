"""From TOPAS's result files to estimators."""
