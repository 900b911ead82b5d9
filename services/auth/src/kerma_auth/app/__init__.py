"""What the auth service does when somebody asks."""
