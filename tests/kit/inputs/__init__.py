"""Projects and inputs that tests convert or submit."""
