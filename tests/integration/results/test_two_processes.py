"""Two processes of the results service: one leads, and a former leader changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from kerma_common.contracts.events.jobs import JobDeleted
from kerma_common.contracts.events.results import (
    EstimatorMaterialised,
    ResultSetDeleted,
    ResultSetPublished,
)
from kerma_common.contracts.ids import JobId, job_id
from kerma_common.eventlog.port import EventLog
from kerma_common.projection import lease
from kerma_common.projection.rows.tables import LEASE
from kerma_results.read.models import ESTIMATOR_METADATA, PAGE_FRAGMENT
from kit.programs.tally import OUTPUTS, PAGES
from kit.running.worlds.results_world import NOW, OWNER, Frozen, Running, World
from kit.running.worlds.runner_service import eventually


async def _fence(world: World) -> int:
    async with world.db.connect() as conn:
        fence: Any = await conn.scalar(select(LEASE.c.fence).where(LEASE.c.name == "results"))
    return int(fence)


async def _copies(world: World, job: JobId) -> tuple[int, int]:
    """Count the rows of metadata and of pages."""
    async with world.db.connect() as conn:
        metadata, pages = [
            await conn.scalar(select(func.count()).select_from(table).filter_by(job_id=job)) or 0
            for table in (ESTIMATOR_METADATA, PAGE_FRAGMENT)
        ]
    return metadata, pages


async def _merged(world: World, job: JobId) -> None:
    await world.submit(job, 1)
    await world.succeed(job, 0)
    await world.request_merge(job, 1, 1)
    await world.until(job, ResultSetPublished)


class Suspended:
    """The log of a process that can be suspended, during which nothing reaches it."""

    def __init__(self, inner: EventLog) -> None:
        self._inner = inner
        self.awake = asyncio.Event()
        self.awake.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def follow(self, *of: Any, **options: Any) -> AsyncIterator[AsyncIterator[Any]]:
        async with self._inner.follow(*of, **options) as batches:
            yield self._held(batches)

    async def _held(self, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for batch in batches:
            await self.awake.wait()
            yield batch


async def test_a_former_leader_that_wakes_late_brings_no_deleted_page_back(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a suspended process does not renew its lease either
    monkeypatch.setattr(lease, "RENEWAL", 3600.0)
    blobs: Any = Frozen(world.blobs, "get", 1, after=True)
    log: Any = Suspended(world.log)
    async with (
        world.service(roles=frozenset({"process"})),
        world.service(roles=frozenset({"project"}), blobs=blobs, log=log),
    ):
        await world.submit(job, 1)
        await world.succeed(job, 0)
        await world.request_merge(job, 1, 1)
        await blobs.reached.wait()
        log.awake.clear()
        former = await _fence(world)
        async with world.service(roles=frozenset({"project"})) as second:
            await world.until(job, ResultSetPublished)
            assert (await _copies(world, job))[0] == len(OUTPUTS)
            await world.record(JobDeleted(job_id=job, by=OWNER))
            await world.until(job, ResultSetDeleted)
            await second.caught_up()
            assert await _copies(world, job) == (0, 0)
            present = await _fence(world)
            assert present > former
            blobs.thawed.set()
            # it notices the fence, and asks for the lease again
            await eventually(lambda: _led_again(world, present))
        assert await _copies(world, job) == (0, 0)


async def _led_again(world: World, fence: int) -> bool:
    return await _fence(world) > fence


async def test_two_whole_processes_publish_every_result_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_namespace", lambda: "first")
    async with world.service() as first:
        monkeypatch.setattr(lease, "_namespace", lambda: "second")
        async with world.service() as second:
            made = [job_id(NOW, uuid4(), "DIRECT") for _ in range(3)]
            for job in made:
                await _merged(world, job)
            for job in made:
                kinds = [type(event) for event in await world.history(job)]
                assert kinds.count(ResultSetPublished) == 1
                assert kinds.count(EstimatorMaterialised) == len(OUTPUTS)
                assert await _copies(world, job) == (len(OUTPUTS), len(OUTPUTS) * PAGES)
                assert await _body(first, job) == await _body(second, job)


async def _body(process: Running, job: JobId) -> bytes:
    async with process.client() as client:
        found = await client.get("/results", params={"job_id": job})
    assert found.status_code == 200
    return found.content
