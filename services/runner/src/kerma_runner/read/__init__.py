"""The queue of truth: what waits, who holds what, who is there."""
