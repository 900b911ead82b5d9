"""Where the auth service keeps its secrets."""
