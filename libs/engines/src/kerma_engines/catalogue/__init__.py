"""The engines of a machine: which exist, which work, and how their files are recognised."""
