"""The queue as rows: waiting tasks, leases, workers."""
