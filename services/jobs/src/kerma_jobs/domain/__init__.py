"""Rules of a job; pure."""
