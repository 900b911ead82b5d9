"""What an operator asks the system, beside what its users ask."""
