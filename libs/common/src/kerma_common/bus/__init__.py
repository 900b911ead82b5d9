"""Messages outside the log: requests, signals, work tickets, telemetry. Any may be lost."""
