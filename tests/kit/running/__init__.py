"""Servers and services that tests start."""
