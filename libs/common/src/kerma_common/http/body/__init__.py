"""Bodies of requests: limits, memory, JSON, large ones in a process of their own."""
