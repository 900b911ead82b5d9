"""Rows and checkpoint of a batch: one transaction, in as few round trips as it can be."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.commands.consistency import Positions
from kerma_common.db.engine import create_engine
from kerma_common.db.kept import OFTEN, KeptConnection
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.projection.rows.tables import CHECKPOINT
from kerma_common.projection.runner import projection_loop
from kerma_common.settings import PgSettings
from kit.events.projecting import (
    JOB,
    TASK,
    caught_up,
    read_model,
    record,
    running,
    schema,
    submitted,
)

ANSWER = "ReadyForQuery"
"""The server sends it once per round trip: psycopg waits for it before it goes on."""
BEGIN, COMMIT = (re.compile(rf"\tF\t.*{word}") for word in ("BEGIN", "COMMIT"))
"""Lines of libpq's trace that tell what was sent."""


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    async with schema(postgres_url) as engine:
        yield engine


async def project_a_job(db: AsyncEngine) -> None:
    log = MemoryLog()
    loop = projection_loop(read_model(), log, db, Positions("jobs"))
    async with running(loop.run()):
        await record(log, submitted("a", n_tasks=3))
        await caught_up(loop)


async def test_rows_and_checkpoint_have_one_transaction(db: AsyncEngine) -> None:
    await project_a_job(db)
    written = set()
    async with db.connect() as conn:
        for table in (JOB, TASK):
            written |= set(await conn.scalars(sa.select(sa.text("xmin::text")).select_from(table)))
        moved = sa.select(sa.text("xmin::text")).select_from(CHECKPOINT)
        assert set(await conn.scalars(moved.where(CHECKPOINT.c.stream == "JOBS"))) == written
    assert len(written) == 1


async def test_the_commit_waits_for_one_round_trip(db: AsyncEngine, tmp_path: Path) -> None:
    traces = tmp_path / "trace"

    def trace(connection: Any, *_: object) -> None:
        connection.driver_connection.pgconn.trace(file.fileno())

    def untrace(connection: Any, *_: object) -> None:
        connection.driver_connection.pgconn.untrace()

    with traces.open("wb") as file:
        sa.event.listen(db.sync_engine.pool, "checkout", trace)
        sa.event.listen(db.sync_engine.pool, "checkin", untrace)
        await project_a_job(db)
    transactions: list[list[str]] = [[]]
    for line in traces.read_text().splitlines():
        if BEGIN.search(line):
            transactions.append([])
        transactions[-1].append(line)
    (batch,) = [t for t in transactions if any('INSERT INTO "jobs"."job"' in line for line in t)]
    end = next(number for number, line in enumerate(batch) if COMMIT.search(line))
    assert any('UPDATE "jobs"."checkpoint"' in line for line in batch[:end])
    assert sum(ANSWER in line for line in batch[:end]) == 1


async def test_a_kept_connection_takes_no_place_in_the_pool(db: AsyncEngine) -> None:
    kept = KeptConnection(db)
    async with kept.lend() as driver:
        await driver.execute(b"BEGIN")
        assert db.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # not of all pools
        await driver.commit()
    assert not driver.closed
    await kept.close()
    assert driver.closed


@pytest.mark.parametrize("prepare", [True, False])
async def test_statements_that_repeat_are_prepared_unless_a_pooler_forbids_it(
    postgres_url: str, prepare: bool
) -> None:
    engine = create_engine(PgSettings(url=SecretStr(postgres_url), prepare=prepare), "kept", "jobs")
    kept = KeptConnection(engine)
    try:
        async with kept.lend() as driver:
            for _ in range(OFTEN + 1):
                await driver.execute(b"SELECT 1")
            found = await driver.execute("SELECT statement FROM pg_prepared_statements")
            assert await found.fetchall() == ([("SELECT 1",)] if prepare else [])
    finally:
        await kept.close()
        await engine.dispose()


async def test_a_failed_transaction_leaves_nothing_behind(db: AsyncEngine) -> None:
    kept = KeptConnection(db)

    async def fail() -> None:
        async with kept.lend() as driver:
            await driver.execute(b"BEGIN")
            await driver.execute(b"INSERT INTO jobs.job (job_id) VALUES ('half')")
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await fail()
    async with kept.lend() as driver:
        await driver.execute(b"BEGIN")
        await driver.execute(b"INSERT INTO jobs.job (job_id) VALUES ('whole')")
        await driver.commit()
    await kept.close()
    async with db.connect() as conn:
        assert list(await conn.scalars(sa.select(JOB.c.job_id))) == ["whole"]
