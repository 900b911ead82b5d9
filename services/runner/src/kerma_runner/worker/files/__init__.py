"""Folders and files of engines, which are untrusted: created, measured, read and removed."""
