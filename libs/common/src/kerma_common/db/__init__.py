"""PostgreSQL: engines and migrations."""
