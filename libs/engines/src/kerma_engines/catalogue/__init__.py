"""The engines of a machine: which there are, which work, and how their files are told apart."""
