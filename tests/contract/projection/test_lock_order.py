"""Whatever locks several checkpoints does it in one order, so that none blocks another for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kerma_common.eventlog.memory import MemoryLog
from kerma_common.projection import lease as leadership
from kerma_common.projection.lease import Lease
from kerma_common.projection.rebuild import rebuild
from kerma_common.projection.rows.tables import CHECKPOINT, LEASE
from kit.events.projecting import read_model, schema

NAME, HOLDER, FENCE = "jobs", "someone", 1
OTHERS_ORDER = ("RUNNER", "JOBS")


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """Checkpoints that the server finds in another order."""
    async with schema(postgres_url) as engine:
        async with engine.begin() as conn:
            await conn.execute(
                sa.insert(LEASE).values(name=NAME, holder=HOLDER, fence=FENCE, until=sa.func.now())
            )
            for stream in OTHERS_ORDER:
                values = {"name": NAME, "stream": stream, "seq": 0, "epoch": "memory"}
                await conn.execute(sa.insert(CHECKPOINT).values(**values, fence=FENCE))
        yield engine


async def acquire(db: AsyncEngine) -> None:
    await leadership.acquire(db, NAME, HOLDER, dict.fromkeys(OTHERS_ORDER, "memory"))


async def raise_fence(db: AsyncEngine) -> None:
    async with db.begin() as conn:
        await leadership.raise_fence(conn, NAME)


async def lock(db: AsyncEngine) -> None:
    async with db.begin() as conn:
        await leadership.lock(conn, Lease(NAME, HOLDER, FENCE))


async def make_anew(db: AsyncEngine) -> None:
    await rebuild([read_model()], MemoryLog(), db)


async def hold(conn: AsyncConnection, stream: str) -> None:
    found = sa.select(CHECKPOINT.c.seq).where(CHECKPOINT.c.stream == stream)
    await conn.execute(found.with_for_update(nowait=True))


async def waits_for_a_lock(db: AsyncEngine) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with db.connect() as conn:
        return bool(await conn.scalar(sa.text(query)))


@pytest.mark.parametrize("action", [acquire, raise_fence, lock, make_anew])
async def test_the_first_checkpoint_is_locked_first(
    db: AsyncEngine, action: Callable[[AsyncEngine], Awaitable[None]]
) -> None:
    async with db.connect() as conn:
        await hold(conn, "JOBS")
        other = asyncio.ensure_future(action(db))
        while not await waits_for_a_lock(db):
            assert not other.done()
            await asyncio.sleep(0.01)
        # it holds none that comes later
        await hold(conn, "RUNNER")
        await conn.rollback()
        await other
