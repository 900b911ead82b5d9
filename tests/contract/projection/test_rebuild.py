"""Rebuilding read models beside the running ones and replacing those at once."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from kerma_common.commands.consistency import Positions
from kerma_common.errors import ContractViolation
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.projection.rebuild import Compared, rebuild
from kerma_common.projection.runner import projection_loop
from kit.events.projecting import (
    JOB,
    caught_up,
    mapped,
    read_model,
    record,
    rows,
    running,
    schema,
    started,
    submitted,
    succeeded,
)


async def history(log: MemoryLog, jobs: int) -> None:
    for n in range(jobs):
        await record(log, submitted(f"job{n}", n_tasks=3))
        for index in range(3):
            await record(log, started(f"job{n}", index))
            await record(log, succeeded(f"job{n}", index))


async def test_rebuilt_rows_equal_the_live_ones(postgres_url: str) -> None:
    log = MemoryLog()
    await history(log, 20)
    async with schema(postgres_url) as db:
        loop = projection_loop(read_model(), log, db, Positions("jobs"))
        async with running(loop.run()):
            await caught_up(loop)
        live = await rows(db)
        assert await rebuild([read_model()], log, db) == (
            Compared("job", 20, 20, True),
            Compared("task", 60, 60, True),
        )
        assert await rows(db) == live
        assert await rows(mapped(db, "jobs__old")) == live


async def test_a_rebuild_repairs_rows_and_says_what_differed(postgres_url: str) -> None:
    log = MemoryLog()
    await history(log, 2)
    async with schema(postgres_url) as db:
        loop = projection_loop(read_model(), log, db, Positions("jobs"))
        async with running(loop.run()):
            await caught_up(loop)
        live = await rows(db)
        async with db.begin() as conn:
            await conn.execute(sa.update(JOB).where(JOB.c.job_id == "job1").values(title="other"))
        compared = await rebuild([read_model()], log, db)
        assert [c.equal for c in compared] == [False, True]
        assert await rows(db) == live


async def test_readers_and_the_running_loop_notice_nothing(postgres_url: str) -> None:
    log = MemoryLog()
    await history(log, 30)
    async with schema(postgres_url) as db:
        loop = projection_loop(read_model(), log, db, Positions("jobs"))
        done = asyncio.Event()

        async def read() -> list[int]:
            """Return the counts in the order of this reader; readers overtake one another."""
            seen: list[int] = []
            while not done.is_set():
                async with db.connect() as conn:
                    count = await conn.scalar(sa.select(sa.func.count()).select_from(JOB))
                    seen.append(count or 0)
            return seen

        async def append() -> None:
            for n in range(1000, 1200):
                await record(log, submitted(f"job{n}"))
                await asyncio.sleep(0)

        async with running(loop.run()):
            await caught_up(loop)
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(read()) for _ in range(3)]
                writing = group.create_task(append())
                for _ in range(3):
                    await rebuild([read_model()], log, db)
                await writing
                done.set()
            await record(log, submitted("last"))
            await caught_up(loop)
        assert len((await rows(db))[0]) == 231
        for reader in readers:
            assert reader.result() == sorted(reader.result())
            assert min(reader.result()) >= 30


async def test_nothing_is_replaced_when_a_commit_cannot_be_projected(postgres_url: str) -> None:
    log = MemoryLog()
    await history(log, 3)
    async with schema(postgres_url) as db:
        loop = projection_loop(read_model(), log, db, Positions("jobs"))
        async with running(loop.run()):
            await caught_up(loop)
        live = await rows(db)
        broken = read_model(lambda event: event.job_id == "job1")
        with pytest.raises(ExceptionGroup) as caught:
            await rebuild([broken], log, db)
        # One submission with no later commit of the same aggregate.
        assert caught.group_contains(ContractViolation, match="1 commits of jobs")
        assert await rows(db) == live
        async with running(loop.run()):
            await record(log, submitted("later"))
            await caught_up(loop)
        assert len((await rows(db))[0]) == 4
