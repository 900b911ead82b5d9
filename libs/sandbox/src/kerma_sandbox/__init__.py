"""Confines processes that run third-party programs or users' input: docs/sandbox.md.

The package itself imports nothing, so that the guard starts in milliseconds.
"""
