"""Confined forks of one prepared process."""
