"""What the runner does: queue, hand out, listen, expire."""
