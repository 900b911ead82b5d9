"""The auth service: who users are, their sessions, and the keys that sign tokens."""
