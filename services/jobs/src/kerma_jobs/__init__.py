"""The jobs service: the user's job and its life story."""
