"""What results do when something happened."""
