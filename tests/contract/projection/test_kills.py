"""A process killed between any two effects, and restarted, has each effect once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from kerma_common.commands.consistency import Positions
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.streams import apply_streams
from kerma_common.faults import FaultPoint
from kerma_common.nats import connection
from kerma_common.process.tables import OUTBOX, placed_process_tables
from kerma_common.projection.runner import projection_loop
from kit.events.processing import now
from kit.events.projecting import (
    caught_up,
    mapped,
    read_model,
    record,
    rows,
    running,
    schema,
    submitted,
    succeeded,
)

JOBS = 12


@asynccontextmanager
async def child(
    nats_url: str, postgres_url: str, fault: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "KERMA_TEST_NATS": nats_url,
        "KERMA_TEST_POSTGRES": postgres_url,
        "KERMA_FAULT_POINT": fault,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kit.events.processing", env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def tell(log: JetStreamLog, prefix: str) -> None:
    for n in range(JOBS):
        job = f"{prefix}{n}"
        seq = await record(log, submitted(job, n_tasks=1), now=now())
        await record(log, succeeded(job, 0), after={"JOBS": seq})


async def settled(log: JetStreamLog, jobs: int) -> None:
    found = set()
    async with asyncio.timeout(60), log.follow("JOBS", 0) as batches:
        async for batch in batches:
            for r in batch:
                if r.commit.events[0].type == "JobAllTasksSettled":
                    found.add(r.commit.aggregate_id)
            if len(found) == jobs:
                return


@pytest.mark.parametrize("point", list(FaultPoint))
async def test_every_effect_happens_once(
    nats_url: str, postgres_url: str, point: FaultPoint
) -> None:
    async with (
        schema(postgres_url) as db,
        connection(nats_url, name="test") as nc,
    ):
        async with db.begin() as conn:
            await conn.execute(sa.text("DROP SCHEMA IF EXISTS jobs_process CASCADE"))
            await conn.execute(sa.schema.CreateSchema("jobs_process"))
            await conn.run_sync(placed_process_tables("jobs").create_all)
        await apply_streams(nc)
        log = JetStreamLog(nc)
        expected = (await log.state("RUNNER")).last + JOBS
        async with child(nats_url, postgres_url, f"{point}:3") as first:
            # Append while the child starts and works, so that it is killed in the middle.
            await tell(log, f"{point}-")
            assert await asyncio.wait_for(first.wait(), 30) == -signal.SIGKILL
        async with child(nats_url, postgres_url) as second:
            await settled(log, expected)
            async with asyncio.timeout(60):
                while (await rows(mapped(db, "jobs_process"), OUTBOX))[0]:
                    await asyncio.sleep(0.02)
            positions = Positions("jobs", db)
            for stream in ("JOBS", "RUNNER"):
                async with asyncio.timeout(60):
                    last = (await log.state(stream)).last
                    while not await positions.wait("jobs", stream, last, 0.02):
                        pass
            assert second.returncode is None
        history = await log.history("JOBS", "ev.jobs.>")
        counted = Counter((r.commit.aggregate_id, e.type) for r in history for e in r.commit.events)
        assert set(counted.values()) == {1}
        live = await rows(db)
        async with schema(postgres_url, "undisturbed") as other:
            loop = projection_loop(read_model(), log, other, Positions("jobs"))
            async with running(loop.run()):
                await caught_up(loop)
            assert await rows(other) == live
