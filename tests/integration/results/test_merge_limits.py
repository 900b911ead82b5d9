"""Merges that take long or lose their process, beside others."""

from __future__ import annotations

from uuid import uuid4

import pytest

from kerma_common.contracts.events.results import (
    MergeStarted,
    ResultSetFailed,
    ResultSetPublished,
)
from kerma_common.contracts.ids import JobId, job_id
from kerma_results.app import merging
from kit.running.worlds.results_world import NOW, World


async def test_an_output_that_occupies_its_reader_fails_its_job_alone(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERMA_RESULTS_READ_SECONDS", "2")
    others = [job_id(NOW, uuid4(), "DIRECT") for _ in range(3)]
    await world.submit(job, 1, engine="endless")
    await world.succeed(job, 0)
    await world.request_merge(job, 1, 1)
    async with world.service():
        for other in others:
            await world.submit(other, 1)
            await world.succeed(other, 0)
            await world.request_merge(other, 1, 1)
            await world.until(other, ResultSetPublished)
        failed = (await world.until(job, ResultSetFailed))[-1]
    assert failed.code == "MERGE_LIMIT"
    assert "longer than 2 s (KERMA_RESULTS_READ_SECONDS)" in failed.message


async def test_long_merges_do_not_keep_others_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "LONG_SECONDS", 0.2)
    endless = [job_id(NOW, uuid4(), "DIRECT") for _ in range(merging.AT_ONCE + 1)]
    for job in endless:
        await world.submit(job, 1, engine="endless")
        await world.succeed(job, 0)
        await world.request_merge(job, 1, 1)
    async with world.service():
        for _ in range(3):
            job = job_id(NOW, uuid4(), "DIRECT")
            await world.submit(job, 1, owner="another")
            await world.succeed(job, 0)
            await world.request_merge(job, 1, 1)
            await world.until(job, ResultSetPublished)
        for job in endless:
            assert [type(e) for e in await world.history(job)][-1] is MergeStarted


async def test_a_merge_whose_process_is_killed_is_tried_three_times(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "REST_SECONDS", 0.01)
    await world.submit(job, 1, engine="dying")
    await world.succeed(job, 0)
    await world.request_merge(job, 1, 1)
    async with world.service():
        events = await world.until(job, ResultSetFailed)
    started = [event.attempt for event in events if isinstance(event, MergeStarted)]
    assert (started, events[-1].message) == ([1, 2, 3], "the merge was given up after 3 attempts")
