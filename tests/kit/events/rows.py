"""All rows that the services keep in their schemas and could project again."""

from __future__ import annotations

import psycopg
from psycopg import sql

NOT_READ_MODELS = ("auth_vault", "public", "information_schema")
OWN = (
    "reservation",
    "alembic_version",
    "lease",
    "checkpoint",
    "worker_heartbeat",
    "worker",
    "offer",
)
"""Tables about running processes rather than history; each start adds a worker with offers."""


def schemas(connection: psycopg.Connection[tuple[str, ...]]) -> list[str]:
    """Return the schemas whose content derives from the log."""
    found = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE NOT starts_with(nspname, 'pg_')"
        " AND nspname <> ALL(%s) ORDER BY 1",
        [list(NOT_READ_MODELS)],
    )
    return [name for (name,) in found]


def dump(url: str) -> dict[str, list[str]]:
    """Return rows as sorted texts, by table."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname = ANY(%s) AND tablename <> ALL(%s)",
            [schemas(connection), list(OWN)],
        ).fetchall()
        rows = sql.SQL("SELECT t::text FROM {} AS t ORDER BY 1")
        return {
            f"{schema}.{table}": [
                text for (text,) in connection.execute(rows.format(sql.Identifier(schema, table)))
            ]
            for schema, table in tables
        }


def drop(url: str) -> list[str]:
    """Drop all schemas that derive from the log; return their names."""
    with psycopg.connect(url) as connection:
        dropped = schemas(connection)
        for schema in dropped:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
        return dropped


def differences(before: dict[str, list[str]], now: dict[str, list[str]]) -> list[str]:
    """Return rows that only one of two dumps holds."""
    return [
        f"{side} {table}: {row}"
        for table in before.keys() | now.keys()
        for side, one, other in (("-", before, now), ("+", now, before))
        for row in set(one.get(table, ())) - set(other.get(table, ()))
    ]
