"""From SHIELD-HIT12A's result files to estimators."""
