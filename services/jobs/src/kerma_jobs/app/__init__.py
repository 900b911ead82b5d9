"""What the jobs service does when something happened or somebody asks."""
