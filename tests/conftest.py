"""Fixtures of all tests."""

pytest_plugins = ("kit.servers",)
