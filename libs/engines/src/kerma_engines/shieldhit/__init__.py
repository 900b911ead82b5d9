"""The SHIELD-HIT12A engine."""
