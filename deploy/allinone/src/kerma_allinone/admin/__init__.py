"""Operators' actions on a running system, done without its services."""
