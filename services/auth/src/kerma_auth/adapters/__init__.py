"""How the auth service keeps secrets."""
