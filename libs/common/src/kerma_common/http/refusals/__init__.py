"""Refusals: from errors to statuses, and in the form that clients expect."""
