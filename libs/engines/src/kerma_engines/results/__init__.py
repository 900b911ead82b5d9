"""Scored results: estimators and pages, how they merge, and how they are encoded."""
