"""Materials and particles that all engines share."""
