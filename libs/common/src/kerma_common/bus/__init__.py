"""The bus beside the log: requests, signals, work tickets, telemetry. All of it may be lost."""
