"""From FLUKA's result files to estimators."""
