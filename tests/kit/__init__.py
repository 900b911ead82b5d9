"""Test support shared by several suites."""
