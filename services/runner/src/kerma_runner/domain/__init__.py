"""Rules of tasks, workers and the queue; pure."""
