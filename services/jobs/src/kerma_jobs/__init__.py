"""The jobs service: the jobs of users from submission to deletion."""
