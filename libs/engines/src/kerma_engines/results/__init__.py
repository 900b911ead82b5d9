"""Scored results: estimators and pages, how they merge, and their forms as bytes."""
