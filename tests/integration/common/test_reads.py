"""Hot reads on a real server: prepared statements, lost connections, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, func, select

from kerma_common.db.reads import Reads, open_reads
from kerma_common.errors import Unavailable
from kerma_common.settings import PgSettings

THING = Table("thing", MetaData(), Column("n", Integer, primary_key=True), Column("name", Text))
BY_NUMBER = select(THING.c.name).where(THING.c.n == bindparam("number"), THING.c.name != "50%")
SLEEP = select(func.pg_sleep(bindparam("seconds")))
_numbers = count()


def settings(postgres_url: str, **changed: Any) -> PgSettings:
    return PgSettings(url=postgres_url, **changed)


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Another connection, with a fresh schema ``hot`` that holds a table of two rows."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as found:
        await _make(found, "hot", "one")
        yield found
        await found.execute("DROP SCHEMA hot CASCADE")


async def _make(server: psycopg.AsyncConnection[Any], schema: str, name: str) -> None:
    await server.execute(f"CREATE SCHEMA {schema}")
    await server.execute(f"CREATE TABLE {schema}.thing (n int PRIMARY KEY, name text)")
    await server.execute(f"INSERT INTO {schema}.thing VALUES (1, %s), (2, 'two')", (name,))


@pytest.fixture
def name() -> str:
    """The name of a test's connections: those of others may outlast their cancellation."""
    return f"reads {next(_numbers)}"


@pytest.fixture
async def reads(postgres_url: str, name: str) -> AsyncIterator[Reads]:
    made = open_reads(settings(postgres_url, readers=2, pool_seconds=0.2), name, "hot")
    yield made
    await made.close()


async def _connected(server: psycopg.AsyncConnection[Any], name: str) -> list[int]:
    found = await server.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s", (name,)
    )
    return [pid for (pid,) in await found.fetchall()]


async def test_rows_are_read_by_prepared_statements(
    server: psycopg.AsyncConnection[Any], reads: Reads, name: str, postgres_url: str
) -> None:
    statement = reads.statement(BY_NUMBER)
    assert await reads.first(statement, number=1) == ("one",)
    assert await reads.first(statement, number=3) is None
    every = reads.statement(select(THING.c.n, THING.c.name).order_by(THING.c.n))
    assert await reads.all(every) == [(1, "one"), (2, "two")]
    prepared = reads.statement(select(func.count()).select_from(func.pg_prepared_statement()))
    assert (await reads.first(prepared)) == (3,)
    assert len(await _connected(server, name)) == 1
    plain = open_reads(settings(postgres_url, prepare=False), name, "hot")
    try:
        assert await plain.first(plain.statement(BY_NUMBER), number=2) == ("two",)
        assert (await plain.first(prepared)) == (0,)
    finally:
        await plain.close()


async def test_a_rebuilt_read_model_is_read_from_then_on(
    server: psycopg.AsyncConnection[Any], reads: Reads
) -> None:
    statement = reads.statement(BY_NUMBER)
    assert await reads.first(statement, number=1) == ("one",)
    await _make(server, "hot__next", "rebuilt")
    async with server.transaction():
        await server.execute("ALTER SCHEMA hot RENAME TO hot__old")
        await server.execute("ALTER SCHEMA hot__next RENAME TO hot")
    try:
        assert await reads.first(statement, number=1) == ("rebuilt",)
    finally:
        await server.execute("DROP SCHEMA hot__old CASCADE")


async def test_after_a_lost_connection_all_are_opened_again(
    server: psycopg.AsyncConnection[Any], reads: Reads, name: str
) -> None:
    statement = reads.statement(BY_NUMBER)
    both = [reads.first(statement, number=1) for _ in range(2)]
    assert await asyncio.gather(*both) == [("one",)] * 2
    for pid in await _connected(server, name):
        await server.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(psycopg.OperationalError):
        await reads.first(statement, number=1)
    assert await reads.first(statement, number=1) == ("one",)
    assert len(reads.connections._idle) == 1


async def test_a_failed_statement_costs_no_connection(
    server: psycopg.AsyncConnection[Any], reads: Reads, name: str
) -> None:
    missing = reads.statement(select(Table("missing", MetaData(), Column("n", Integer))))
    statement = reads.statement(BY_NUMBER)
    assert await reads.first(statement, number=1) == ("one",)
    before = await _connected(server, name)
    for _ in range(3):
        with pytest.raises(psycopg.errors.UndefinedTable):
            await reads.all(missing)
    assert await reads.first(statement, number=1) == ("one",)
    assert await _connected(server, name) == before


async def test_cancelled_statements_free_their_turn(
    server: psycopg.AsyncConnection[Any], reads: Reads, name: str
) -> None:
    statement, sleep = reads.statement(BY_NUMBER), reads.statement(SLEEP)
    for _ in range(3):
        sleeping = asyncio.ensure_future(reads.first(sleep, seconds=60))
        async with asyncio.timeout(30):
            while not await _connected(server, name):
                await asyncio.sleep(0.01)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
    assert await reads.first(statement, number=1) == ("one",)


async def test_more_statements_than_connections_take_turns_and_then_fail(
    server: psycopg.AsyncConnection[Any],
    reads: Reads,
) -> None:
    statement, sleep = reads.statement(BY_NUMBER), reads.statement(SLEEP)
    found = await asyncio.gather(*(reads.first(statement, number=2) for _ in range(20)))
    assert found == [("two",)] * 20
    sleeping = [asyncio.ensure_future(reads.first(sleep, seconds=60)) for _ in range(2)]
    await asyncio.sleep(0)  # both have their turn
    with pytest.raises(Unavailable):
        await reads.first(statement, number=1)
    for task in sleeping:
        task.cancel()
    await asyncio.wait(sleeping)
    assert await reads.first(statement, number=1) == ("one",)


async def test_closing_leaves_no_connection(
    server: psycopg.AsyncConnection[Any], reads: Reads, name: str
) -> None:
    sleep = reads.statement(SLEEP)
    await reads.first(sleep, seconds=0)
    busy = asyncio.ensure_future(reads.first(sleep, seconds=0.2))
    await asyncio.sleep(0)
    await reads.close()
    await busy
    async with asyncio.timeout(30):
        while await _connected(server, name):
            await asyncio.sleep(0.01)
