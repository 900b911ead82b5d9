"""Confines processes that run other people's programs or input: docs/sandbox.md.

The package imports nothing by itself, because the guard starts with it in milliseconds.
"""
