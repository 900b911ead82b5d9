"""Figures of the system, each beside its limit or a peer measured in the same run."""
