"""The tables of every service: migrations match the models, and read models are recognised."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kerma_allinone.assembly import SERVICES
from kerma_auth import main as auth
from kerma_common.db.engine import create_engine
from kerma_common.db.migrated import MigratedSchema
from kerma_common.db.migrations import migrate
from kerma_common.projection.rows.schema import create_read_models
from kerma_common.settings import PgSettings
from kerma_jobs.adapters.request_keys import over as keys_over
from kerma_tools import golden

MIGRATED = {
    name: migrated
    for name, part in SERVICES.items()
    if (migrated := importlib.import_module(f"{part.package}.main").MIGRATED) is not None
}


def differences(connection: Connection, migrated: MigratedSchema) -> list[object]:
    """Return the differences that ``alembic check`` would report."""
    declared = MetaData()
    for metadata in migrated.tables:
        for table in metadata.sorted_tables:
            table.to_metadata(declared)
    found = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == migrated.schema,
            "compare_server_default": True,
            "version_table_schema": migrated.schema,
        },
    )
    return list(compare_metadata(found, declared))


@pytest.mark.parametrize("service", MIGRATED)
async def test_the_migrations_make_exactly_the_declared_tables(
    postgres_url: str, service: str
) -> None:
    migrated = MIGRATED[service]
    await migrate(postgres_url, SERVICES[service].package, migrated.schema)
    engine = create_engine(PgSettings(url=postgres_url), "test", service)
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(differences, migrated) == []
            table = next(iter(migrated.tables)).sorted_tables[0].fullname
            await connection.execute(text(f"ALTER TABLE {table} ADD COLUMN edited int"))
            assert len(await connection.run_sync(differences, migrated)) == 1
    finally:
        await engine.dispose()


COMMIT = "ALTER TABLE {schema}.checkpoint DROP commit"
SINCE_THEN = {
    "auth": (
        "ALTER TABLE {schema}.credential DROP name_key, DROP request_key",
        "ALTER TABLE {schema}.session DROP generation, DROP rotated, DROP ended",
        "ALTER TABLE {schema}.session ALTER refresh_hash SET NOT NULL",
        "DROP INDEX {schema}.ix_auth_vault_session_user_id",
        "DROP INDEX {schema}.ix_auth_vault_credential_user_id",
        "DROP TABLE {schema}.attempt_window, {schema}.api_token_label, {schema}.ssh_credential",
        "INSERT INTO {schema}.credential VALUES ('c', 'u', 'Stra\u00dfe', 'hash')",
    ),
    "jobs": (COMMIT, "DROP TABLE {schema}.reservation"),
    "runner": (COMMIT,),
    "results": (COMMIT,),
}
"""How to take back what tables got since the first revision, and rows of that time."""


@pytest.mark.parametrize("service", MIGRATED)
async def test_tables_from_before_the_migrations_are_taken_over(
    postgres_url: str, service: str
) -> None:
    """Data directories of older releases hold them, without a migration version."""
    migrated = MIGRATED[service]
    engine = create_engine(PgSettings(url=postgres_url), "test", service)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP SCHEMA IF EXISTS {migrated.schema} CASCADE"))
            await connection.execute(text(f"CREATE SCHEMA {migrated.schema}"))
            for metadata in migrated.tables:
                await connection.run_sync(metadata.create_all)
            for statement in SINCE_THEN.get(service, ()):
                await connection.execute(text(statement.format(schema=migrated.schema)))
        await migrate(postgres_url, SERVICES[service].package, migrated.schema)
        async with engine.connect() as connection:
            assert await connection.run_sync(differences, migrated) == []
    finally:
        await engine.dispose()


@asynccontextmanager
async def taken_over(postgres_url: str, service: str) -> AsyncIterator[AsyncConnection]:
    """Yield a transaction on tables of an older release that have just been taken over."""
    await test_tables_from_before_the_migrations_are_taken_over(postgres_url, service)
    engine = create_engine(PgSettings(url=postgres_url), "test", service)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def test_users_of_the_first_revision_get_the_keys_of_their_names(postgres_url: str) -> None:
    async with taken_over(postgres_url, "auth") as connection:
        keys = await connection.scalars(text("SELECT name_key FROM auth_vault.credential"))
        assert list(keys) == ["strasse"]


BEFORE = {
    "auth": "INSERT INTO auth_vault.api_token_label (token_id, label) VALUES ('t', 'nightly')",
}
"""What replicas of earlier releases still write while the first ones of this release run."""


@pytest.mark.parametrize("service", BEFORE)
async def test_replicas_of_an_earlier_release_go_on_after_the_migrations(
    postgres_url: str, service: str
) -> None:
    async with taken_over(postgres_url, service) as connection:
        await connection.execute(text(BEFORE[service]))
        left = "SELECT expires - now() > interval '365 days' FROM auth_vault.api_token_label"
        assert list(await connection.scalars(text(left))) == [True]


SWEPT = {"auth": auth.STALE, "jobs": (keys_over(24.0),)}
"""Rows whose time is over, of tables that may have very many."""


@pytest.mark.parametrize("service", SWEPT)
async def test_rows_whose_time_is_over_are_found_by_an_index(
    postgres_url: str, service: str
) -> None:
    async with taken_over(postgres_url, service) as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        for stale in SWEPT[service]:
            some = select(stale.table.c[0]).where(stale.over)
            shown = some.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
            plan = await connection.scalars(text(f"EXPLAIN {shown}"))
            lines = "\n".join(plan)
            assert "Index Cond" in lines, lines


@pytest.mark.parametrize("service", SERVICES)
async def test_read_models_are_made_as_they_are_declared(postgres_url: str, service: str) -> None:
    engine = create_engine(PgSettings(url=postgres_url), "test", service)
    projections = golden.projections(service)
    declared = MetaData()
    for projection in projections:
        for table in projection.metadata.sorted_tables:
            table.to_metadata(declared, schema=service)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(create_read_models, service, projections)
            found: list[Any] = await connection.run_sync(
                differences, MigratedSchema(service, (declared,))
            )
            own = {"checkpoint", "lease", "quarantine", "read_model"}
            assert {entry[1].name for entry in found if entry[0] == "remove_table"} == own
            assert {entry[0] for entry in found} <= {"remove_table", "remove_index"}
    finally:
        await engine.dispose()


async def test_fragments_are_not_compressed_again(postgres_url: str) -> None:
    engine: AsyncEngine = create_engine(PgSettings(url=postgres_url), "test", "stored")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(create_read_models, "stored", golden.projections("results"))
            storage = await connection.scalar(
                text(
                    "SELECT attstorage FROM pg_attribute WHERE attname = 'body'"
                    " AND attrelid = 'stored.page_fragment'::regclass"
                )
            )
            assert storage in ("e", b"e")
    finally:
        await engine.dispose()


def test_a_change_of_a_read_model_raises_its_revision() -> None:
    """Otherwise two releases would each rebuild the other's rows."""
    stored = orjson.loads(Path(golden.READ_MODELS).read_bytes())
    assert golden.read_models() == stored, (
        "raise the revision of the projection, then run './kerma generate'"
    )
