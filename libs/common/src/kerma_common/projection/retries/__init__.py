"""What a loop does when a transaction fails: try again, wait, or halt."""
