"""Who is asking: signed tokens, verified by every service from its own projected keys."""
