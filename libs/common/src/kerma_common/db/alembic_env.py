"""Migrations, run in process: one environment for all services.

A service keeps its revisions in `<package>/migrations/versions`. They name tables without a schema
and run with `search_path` set to the requested schema, which also holds the version table. Only
tables that no rebuild can restore are migrated (`migrated`).
"""

import asyncio
import threading
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.schema import CreateSchema

from kerma_common.db.engine import CONNECT_SECONDS, driver_url
from kerma_common.db.migrations import migrations_of
from kerma_common.errors import ContractViolation

_one_at_a_time = threading.Lock()
"""Alembic keeps the running migration in module state."""


async def migrate(url: str, package: str, schema: str) -> None:
    """Bring `schema` (created if missing) to the newest revision of a service's package.

    All revisions of a call are one transaction; a second process that starts at the same time waits
    for it and then finds nothing to do. Raises `ContractViolation` if a newer release made the
    schema.
    """
    await asyncio.to_thread(_migrate, url, package, schema)


def _migrate(url: str, package: str, schema: str) -> None:
    engine = create_engine(
        driver_url(url), poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS}
    )
    try:
        with _one_at_a_time, engine.begin() as connection:
            _migrate_within(connection, package, schema)
    finally:
        engine.dispose()


def _migrate_within(connection: Connection, package: str, schema: str) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:schema))"), {"schema": schema})
    connection.execute(CreateSchema(schema, if_not_exists=True))
    connection.execute(
        text("SELECT set_config('search_path', quote_ident(:schema), true)"), {"schema": schema}
    )
    _upgrade(connection, package, schema)


def _upgrade(connection: Connection, package: str, schema: str) -> None:
    script = ScriptDirectory(str(migrations_of(package)))
    found = MigrationContext.configure(
        connection, opts={"version_table_schema": schema}
    ).get_current_revision()
    if found == script.get_current_head():
        return
    if found is not None and not _known(script, found):
        raise ContractViolation(
            f"schema {schema} is at revision {found}, unknown to this release of {package}"
        )

    def steps(revision: Any, _context: MigrationContext) -> list[RevisionStep]:
        return list(script._upgrade_revs("head", revision))  # noqa: SLF001  as alembic.command

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, version_table_schema=schema)
        environment.run_migrations()


def _known(script: ScriptDirectory, revision: str) -> bool:
    return any(known.revision == revision for known in script.walk_revisions())
