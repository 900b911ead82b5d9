"""Waiting for a projection, in the process that leads and in others."""

from __future__ import annotations

import asyncio

from sqlalchemy import insert

from kerma_common.commands.consistency import Positions
from kerma_common.nats import connection
from kerma_common.projection.rows.tables import CHECKPOINT
from kit.events.projecting import running, schema


async def test_a_position_reached_elsewhere_ends_a_wait(nats_url: str) -> None:
    async with connection(nats_url, name="a") as one, connection(nats_url, name="b") as two:
        leader, other = Positions("jobs", nats=one), Positions("jobs", nats=two)
        stranger = Positions("runner", nats=two)
        async with running(other.run(), stranger.run()):
            while len(two._subs) < 2:  # both have asked for their subscription
                await asyncio.sleep(0)
            await two.flush()
            waiting = asyncio.create_task(other.wait("jobs", "JOBS", 7, 10))
            deaf = asyncio.create_task(stranger.wait("jobs", "JOBS", 7, 0.2))
            await leader.advance("jobs", "JOBS", 6)
            await leader.advance("jobs", "RUNNER", 9)
            assert not waiting.done()
            await leader.advance("jobs", "JOBS", 8)
            assert await waiting
            assert not await deaf


async def test_a_lost_message_is_made_good_by_the_checkpoint(postgres_url: str) -> None:
    async with schema(postgres_url) as db:
        row = {"name": "jobs", "stream": "JOBS", "seq": 5, "epoch": "e", "fence": 1}
        async with db.begin() as conn:
            await conn.execute(insert(CHECKPOINT).values(row))
        positions = Positions("jobs", db)
        assert await positions.wait("jobs", "JOBS", 5, 0.01)
        assert not await positions.wait("jobs", "JOBS", 6, 0.01)
        assert not await positions.wait("jobs", "RUNNER", 1, 0.01)
