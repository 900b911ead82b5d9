"""Operator functions of a running system."""
