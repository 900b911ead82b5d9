"""Rules of users, sessions and the keyring; pure."""
