"""PostgreSQL: engines, schemas, migrations."""
