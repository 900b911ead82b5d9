"""Passwords: hashes, the queue of logins, limits on attempts."""
