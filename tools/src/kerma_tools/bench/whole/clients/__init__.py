"""What clients wait for: pages, logins, live updates."""
