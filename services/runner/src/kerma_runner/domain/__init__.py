"""The rules of tasks, workers and the queue. Pure."""
