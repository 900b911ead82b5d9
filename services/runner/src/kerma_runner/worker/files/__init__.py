"""Folders and files of engines: made, measured, read and removed with nothing believed."""
