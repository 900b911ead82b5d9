"""Migrations at the start of a service: Alembic is loaded only if there is something to do."""

from __future__ import annotations

import asyncio
import importlib.util
from importlib import import_module
from pathlib import Path

import psycopg
from psycopg import sql

from kerma_common.db.engine import CONNECT_SECONDS
from kerma_common.errors import ContractViolation


async def migrate(url: str, package: str, schema: str) -> None:
    """Bring `schema` (created if missing) to the newest revision of a service's package.

    Raises `ContractViolation` if a newer release made the schema.
    """
    if await _revision(url, schema) == newest(package):
        return
    alembic_env = await asyncio.to_thread(import_module, "kerma_common.db.alembic_env")
    await alembic_env.migrate(url, package, schema)


def newest(package: str) -> str:
    """Return the last revision of a package; files are named `<revision>_<what>.py`."""
    names = (path.name for path in (migrations_of(package) / "versions").glob("[0-9]*.py"))
    return max(name.partition("_")[0] for name in names)


def migrations_of(package: str) -> Path:
    """Return the package that holds a service's migrations."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ContractViolation(f"there is no package {package}")
    folder = Path(spec.submodule_search_locations[0]) / "migrations"
    if not (folder / "versions").is_dir():
        raise ContractViolation(f"package {package} has no migrations")
    return folder


async def _revision(url: str, schema: str) -> str | None:
    """Return the revision of a schema, or None if it has none."""
    query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(schema, "alembic_version"))
    connecting = psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_SECONDS)
    async with await connecting as connection:
        try:
            row = await (await connection.execute(query)).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None
    return None if row is None else str(row[0])
