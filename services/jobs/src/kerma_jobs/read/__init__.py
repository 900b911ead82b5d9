"""What the jobs service answers from: rows projected from the log."""
