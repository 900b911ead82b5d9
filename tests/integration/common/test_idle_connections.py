"""Connections that a burst opened are closed when nobody has used them for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import psycopg
import pytest
import sqlalchemy.exc
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.db.connections import Connections, open_connections
from kerma_common.db.engine import IDLE_SECONDS, autocommit, create_engine, in_turn
from kerma_common.db.idle import IdleConnections
from kerma_common.db.kept import KeptConnection
from kerma_common.settings import PgSettings

NAME = "idle connections"
BURST = 4


class Clock:
    """A clock that only the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def settings(postgres_url: str) -> PgSettings:
    return PgSettings(url=SecretStr(postgres_url), pool_size=BURST)


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def engine(settings: PgSettings) -> AsyncIterator[AsyncEngine]:
    made = create_engine(settings, NAME, "public")
    yield made
    await made.dispose()


async def _backends(server: psycopg.AsyncConnection[Any], expected: int) -> int:
    """Return how many connections there are; PostgreSQL needs a moment to end one."""
    found = -1
    async with asyncio.timeout(30):
        while found != expected:
            rows = await server.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (NAME,)
            )
            ((found,),) = await rows.fetchall()
    return found


async def _burst(engine: AsyncEngine) -> None:
    meet = asyncio.Barrier(BURST)

    async def one() -> None:
        async with autocommit(engine).connect() as connection:
            await connection.execute(text("SELECT 1"))
            await meet.wait()

    await asyncio.gather(*(one() for _ in range(BURST)))


async def _pid(engine: AsyncEngine) -> int:
    async with autocommit(engine).connect() as connection:
        pid: int = await connection.scalar(text("SELECT pg_backend_pid()"))
        return pid


async def test_a_burst_leaves_the_connections_that_are_used(
    server: psycopg.AsyncConnection[Any], engine: AsyncEngine
) -> None:
    clock = Clock()
    idle = IdleConnections(engine, clock=clock)
    await _burst(engine)
    clock.later(IDLE_SECONDS)
    used = await _pid(engine)
    await idle.close()
    assert await _backends(server, BURST) == BURST
    clock.later(1.0)
    await idle.close()
    assert await _backends(server, 1) == 1
    assert await _pid(engine) == used
    for _ in range(3):  # nor are the empty places filled again
        clock.later(IDLE_SECONDS / 2)
        await idle.close()
        assert await _pid(engine) == used
    clock.later(IDLE_SECONDS + 1)
    await idle.close()
    assert await _backends(server, 0) == 0
    await _burst(engine)
    assert await _backends(server, BURST) == BURST


async def test_a_lost_pool_is_not_filled_again(
    server: psycopg.AsyncConnection[Any], engine: AsyncEngine
) -> None:
    clock = Clock()
    idle = IdleConnections(engine, clock=clock)
    await _burst(engine)
    await engine.dispose()
    clock.later(IDLE_SECONDS + 1)
    await idle.close()
    assert await _backends(server, 0) == 0


async def test_connections_beside_the_pool_are_closed_as_well(
    server: psycopg.AsyncConnection[Any], engine: AsyncEngine, settings: PgSettings
) -> None:
    clock = Clock()
    opened = open_connections(settings, NAME, BURST)
    others = Connections(opened.connect, opened.most, opened.patience, clock)
    idle = IdleConnections(engine, [others], clock)
    try:
        async with others.lend(), others.lend():
            pass
        clock.later(IDLE_SECONDS)
        async with others.lend():
            pass
        clock.later(1.0)
        await idle.close()
        assert await _backends(server, 1) == 1
        async with others.lend() as connection:
            await connection.execute("SELECT 1")
    finally:
        await others.close()


async def test_a_kept_connection_is_closed_and_opened_again(
    server: psycopg.AsyncConnection[Any], engine: AsyncEngine
) -> None:
    clock = Clock()
    kept = KeptConnection(engine, clock)
    async with kept.lend():
        pass
    clock.later(IDLE_SECONDS)
    await kept.close_idle()
    assert await _backends(server, 1) == 1
    clock.later(1.0)
    await kept.close_idle()
    assert await _backends(server, 0) == 0
    async with kept.lend() as driver:
        await driver.execute("SELECT 1")
    await kept.close()


async def test_periodic_work_takes_turns_on_one_connection(
    server: psycopg.AsyncConnection[Any], engine: AsyncEngine
) -> None:
    pids: set[int] = set()

    async def look() -> None:
        async with in_turn(engine) as connection:
            pids.add(await connection.scalar(text("SELECT pg_backend_pid()")))

    await asyncio.gather(*(look() for _ in range(BURST)))
    assert len(pids) == 1
    assert await _backends(server, 1) == 1


async def test_periodic_work_does_not_wait_for_one_that_is_held_up(engine: AsyncEngine) -> None:
    async with in_turn(engine), in_turn(engine) as second:
        assert await second.scalar(text("SELECT 1")) == 1
    async with asyncio.timeout(30), in_turn(engine) as again:
        assert await again.scalar(text("SELECT 1")) == 1


async def test_a_database_that_stalls_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a background task: its end would be that of the service."""
    monkeypatch.setattr("kerma_common.db.idle.IDLE_SECONDS", 0.01)
    looked = asyncio.Queue[float]()

    class Stalled(Connections):
        async def close_idle(self, before: float) -> None:
            looked.put_nowait(before)
            raise faults.pop()

    async def connect() -> NoReturn:
        raise AssertionError

    faults: list[Exception] = [
        sqlalchemy.exc.TimeoutError(),
        psycopg.OperationalError(),
        ConnectionResetError(),
    ]
    task = asyncio.ensure_future(IdleConnections(None, [Stalled(connect, 1, 1.0)]).run())
    try:
        async with asyncio.timeout(30):
            for _ in range(3):
                await looked.get()
        assert not task.done()
    finally:
        task.cancel()
