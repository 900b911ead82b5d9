"""What a Kerma costs: processor time, memory, starts."""
