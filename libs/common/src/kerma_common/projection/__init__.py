"""Projections: events become rows, exactly once in effect."""
