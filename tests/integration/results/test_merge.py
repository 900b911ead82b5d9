"""From the outputs of tasks to a published result set."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
import sqlalchemy.exc

from kerma_common.commands.consistency import Positions
from kerma_common.contracts.events.jobs import JobCanceled, JobDeleted
from kerma_common.contracts.events.results import (
    EstimatorMaterialised,
    MergeStarted,
    ResultSetCompleted,
    ResultSetDeleted,
    ResultSetFailed,
    ResultSetOpened,
    ResultSetPublished,
)
from kerma_common.contracts.ids import JobId, job_id
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import result_set_subject
from kerma_common.errors import Unavailable
from kerma_results.app import merging
from kerma_results.pages.arrays import open_page
from kit.forged import forge
from kit.programs.tally import OUTPUTS, task_output
from kit.running.worlds.results_world import NOW, OWNER, Frozen, World


async def submitted(world: World, job: JobId, n_tasks: int, *succeeded: int) -> None:
    """Submit a job with its outputs, and ask for a merge."""
    await world.submit(job, n_tasks)
    for index in succeeded:
        await world.succeed(job, index)
    await world.request_merge(job, n_tasks, len(succeeded))


def stored(events: list[Any]) -> list[Any]:
    """Return what is materialised, without the job's id."""
    return [
        (e.index, e.name, e.metadata_ref, e.pages)
        for e in events
        if isinstance(e, EstimatorMaterialised)
    ]


async def test_outputs_become_results(world: World, job: JobId) -> None:
    async with world.service() as running, running.client() as client:
        await submitted(world, job, 3, 2, 0, 1)
        events = await world.until(job, ResultSetPublished)
        # published results can be read at once
        body = (await client.get("/results", params={"job_id": job})).json()
    assert [type(event) for event in events] == [
        ResultSetOpened,
        MergeStarted,
        *[EstimatorMaterialised] * 3,
        ResultSetCompleted,
        ResultSetPublished,
    ]
    assert (events[-1].tasks_merged, events[-1].primaries_merged) == (3, 33)
    assert not events[-1].partial
    assert tuple(e["name"] for e in body["estimators"]) == OUTPUTS
    metadata = body["estimators"][0]["metadata"]
    assert (metadata["primaries"], metadata["tasks_merged"]) == ("33", "3")
    page = body["estimators"][0]["pages"][1]
    sums = [2 * np.random.default_rng(i).random(200) * (i + 10) for i in range(3)]
    np.testing.assert_allclose(page["data"]["values"], sum(sums) / 33, rtol=1e-12)
    assert len(page["data"]["errors"]) == 200
    binary = open_page(await world.blobs.get(events[2].pages[1].array_ref))
    assert binary.array("values").tolist() == page["data"]["values"]
    assert binary.array("errors").tolist() == page["data"]["errors"]


async def test_parts_of_the_service_in_processes_of_their_own(world: World, job: JobId) -> None:
    async with (
        world.service(roles=frozenset({"process"})),
        world.service(roles=frozenset({"project"})),
        world.service(roles=frozenset({"api"})) as api,
        api.client() as client,
    ):
        await submitted(world, job, 1, 0)
        await world.until(job, ResultSetPublished)
        assert (await client.get("/results", params={"job_id": job})).status_code == 200


async def test_bytes_do_not_depend_on_who_came_first(world: World) -> None:
    found = []
    async with world.service():
        for order in ((0, 1, 2), (2, 1, 0)):
            job = job_id(NOW, uuid4(), "DIRECT")
            await submitted(world, job, 3, *order)
            found.append(stored(await world.until(job, ResultSetPublished)))
    assert found[0] == found[1]


async def test_what_succeeded_is_merged_and_says_so(world: World, job: JobId) -> None:
    async with world.service() as running, running.client() as client:
        await submitted(world, job, 12, *range(1, 11))
        events = await world.until(job, ResultSetPublished)
        body = (await client.get("/results", params={"job_id": job})).json()
    assert (events[-1].tasks_merged, events[-1].partial) == (10, True)
    metadata = body["estimators"][2]["metadata"]
    shown = {key: metadata[key] for key in ("partial", "tasks_merged", "tasks_expected")}
    assert shown == {"partial": "true", "tasks_merged": "10", "tasks_expected": "12"}


async def _failure(world: World, job: JobId) -> ResultSetFailed:
    async with world.service() as running, running.client() as client:
        events = await world.until(job, ResultSetFailed, ResultSetPublished)
        await running.caught_up()
        assert (await client.get("/results", params={"job_id": job})).status_code == 404
    assert isinstance(events[-1], ResultSetFailed)
    return events[-1]


async def test_a_damaged_output_fails_the_set_with_the_reason(world: World, job: JobId) -> None:
    await world.submit(job, 2)
    await world.succeed(job, 0)
    whole = task_output(world.folder, 1, primaries=11)
    await world.succeed(job, 1, output=whole[:700])
    await world.request_merge(job, 2, 2)
    failed = await _failure(world, job)
    assert failed.code == "OUTPUT_UNREADABLE"
    assert failed.message.startswith("task 1: ")


async def test_a_missing_output_fails_the_set(world: World, job: JobId) -> None:
    await submitted(world, job, 2, 0, 1)
    found = task_output(world.folder, 1, primaries=11)
    ref = await world.blobs.put(found)
    (world.folder / "blobs" / ref.sha256[:2] / ref.sha256).unlink()
    failed = await _failure(world, job)
    assert (failed.code, failed.message[:7]) == ("OUTPUT_UNREADABLE", "task 1:")


async def test_outputs_that_do_not_fit_fail_the_set(world: World, job: JobId) -> None:
    await world.submit(job, 2)
    await world.succeed(job, 0)
    await world.succeed(job, 1, bins=198)
    await world.request_merge(job, 2, 2)
    failed = await _failure(world, job)
    assert failed.code == "OUTPUTS_DIFFER"
    assert "depth, page 0" in failed.message


async def test_an_unknown_engine_fails_the_set(world: World, job: JobId) -> None:
    await world.submit(job, 1, engine="abacus")
    await world.succeed(job, 0)
    await world.request_merge(job, 1, 1)
    assert (await _failure(world, job)).code == "ENGINE"


CANCELED = JobCanceled(job_id="", succeeded=1, failed=0, canceled=1, ended_at=NOW)


@pytest.mark.parametrize("end", [JobDeleted(job_id="", by=OWNER), CANCELED], ids=["del", "can"])
async def test_results_of_a_job_that_is_gone_are_deleted(
    world: World, job: JobId, end: Any
) -> None:
    async with world.service() as running, running.client() as client:
        await submitted(world, job, 1, 0)
        await world.until(job, ResultSetPublished)
        await world.record(replace(end, job_id=job))
        await world.until(job, ResultSetDeleted)
        await running.caught_up()
        gone = await client.get("/results", params={"job_id": job})
    assert gone.status_code == 404
    rows = await world.rows()
    assert not any(job in row for name in RESULT_TABLES for row in rows[name])


RESULT_TABLES = ("result_set", "estimator", "page", "estimator_metadata", "page_fragment")


async def test_a_job_without_results_leaves_no_trace(world: World, job: JobId) -> None:
    async with world.service() as running:
        await world.submit(job, 1)
        await world.record(JobDeleted(job_id=job, by=OWNER))
        await running.caught_up()
        other = job_id(NOW, uuid4(), "DIRECT")
        await submitted(world, other, 1, 0)
        await world.until(other, ResultSetPublished)
    assert await world.history(job) == []


async def test_replay_gives_the_same_rows_and_bytes(world: World, job: JobId) -> None:
    async def answers() -> tuple[bytes, bytes]:
        async with world.service() as running, running.client() as client:
            await running.caught_up()
            headers = {"accept-encoding": "gzip"}
            async with client.stream(
                "GET", "/results", params={"job_id": job}, headers=headers
            ) as r:
                raw = b"".join([chunk async for chunk in r.aiter_raw()])
            logs = await client.get("/logfiles", params={"job_id": job})
        return raw, logs.content

    gone = job_id(NOW, uuid4(), "DIRECT")
    async with world.service() as running:
        log = await world.blobs.put(b'{"stderr": "stopped"}')
        for each in (job, gone):
            await world.fail(each, 1, 1, log)
            await submitted(world, each, 3, 0, 1)
            await world.until(each, ResultSetPublished)
        await world.record(JobDeleted(job_id=gone, by=OWNER))
        await world.until(gone, ResultSetDeleted)
        await running.caught_up()
    live, rows = await answers(), await world.rows()
    length = (await world.log.state("RESULTS")).last
    await world.reset()
    assert await answers() == live
    assert await world.rows() == rows
    assert (await world.log.state("RESULTS")).last == length  # no command was decided again


async def test_a_rebuild_beside_the_running_service_ends_equal(world: World, job: JobId) -> None:
    async with world.service() as running, running.client() as client:
        await submitted(world, job, 1, 0)
        await world.until(job, ResultSetPublished)
        before = await client.get("/results", params={"job_id": job})
        compared = await world.rebuild()
        after = await client.get("/results", params={"job_id": job})
    assert {c.table for c in compared} > {"page", "page_fragment", "estimator_metadata"}
    assert [c for c in compared if c.equal is False] == []
    assert after.content == before.content


POINTS = [
    *[("blobs", "get", n, False) for n in (1, 2, 3, 5)],
    *[("blobs", "put", n, after) for n in (1, 2, 7, 19) for after in (False, True)],
    *[("log", "append", n, after) for n in range(1, 8) for after in (False, True)],
]


@pytest.mark.parametrize(("port", "method", "call", "after"), POINTS)
async def test_a_merge_that_is_killed_goes_on(
    world: World, job: JobId, port: str, method: str, call: int, after: bool
) -> None:
    frozen = Frozen(getattr(world, port), method, call, after)
    ports: dict[str, Any] = {port: frozen}
    async with world.service(**ports):
        await submitted(world, job, 2, 0, 1)
        await frozen.reached.wait()
    undisturbed = job_id(NOW, uuid4(), "DIRECT")
    async with world.service() as running:
        await submitted(world, undisturbed, 2, 0, 1)
        events = await world.until(job, ResultSetPublished)
        expected = await world.until(undisturbed, ResultSetPublished)
        await running.caught_up()
    assert stored(events) == stored(expected)
    kinds = [type(event) for event in events]
    assert [kinds.count(k) for k in (ResultSetOpened, ResultSetCompleted, ResultSetPublished)] == [
        1,
        1,
        1,
    ]
    rows = await world.rows()
    assert _of(rows, job) == _of(rows, undisturbed)


def _of(rows: dict[str, list[tuple[Any, ...]]], job: JobId) -> list[list[tuple[Any, ...]]]:
    """Return pages and fragments of a job, without its id."""
    return [[row[1:] for row in rows[name] if row[0] == job] for name in RESULT_TABLES[1:]]


async def test_three_broken_attempts_are_enough(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "REST_SECONDS", 0.01)

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.blobs, name)

        async def put(self, source: Any, media: str = "") -> Ref:
            raise MemoryError

    blobs: Any = Broken()
    async with world.service(blobs=blobs):
        await submitted(world, job, 1, 0)
        events = await world.until(job, ResultSetFailed)
    assert [type(event) for event in events] == [
        ResultSetOpened,
        *[MergeStarted] * 3,
        ResultSetFailed,
    ]
    assert events[-1].code == "MERGE_ABANDONED"


async def test_an_outage_is_no_attempt(world: World, job: JobId) -> None:
    class Away:
        """Answers from the fifth call on."""

        calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(world.blobs, name)

        async def get(self, ref: Ref) -> bytes:
            self.calls += 1
            if self.calls < 5:
                raise Unavailable("the blob store does not answer")
            return await world.blobs.get(ref)

    blobs: Any = Away()
    async with world.service(blobs=blobs):
        await submitted(world, job, 1, 0)
        events = await world.until(job, ResultSetPublished, ResultSetFailed)
    assert [type(event) for event in events].count(MergeStarted) == 1
    assert isinstance(events[-1], ResultSetPublished)


async def test_a_merge_whose_history_is_damaged_is_given_up_and_others_go_on(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(merging, "REST_SECONDS", 0.01)
    reached, go = asyncio.Event(), asyncio.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.blobs, name)

        async def get(self, ref: Ref) -> bytes:
            reached.set()
            await go.wait()
            return await world.blobs.get(ref)

    blobs: Any = Slow()
    async with world.service(blobs=blobs):
        await submitted(world, job, 1, 0)
        await reached.wait()
        await forge(world.log, result_set_subject(job), MergeStarted(job_id=job, attempt=2))
        go.set()
        other = job_id(NOW, uuid4(), "DIRECT")
        await submitted(world, other, 1, 0)
        await world.until(other, ResultSetPublished)
    given_up = [record.message for record in caplog.records if "given up" in record.message]
    assert given_up == [f"merge of {job} given up"]


async def test_a_database_that_is_away_while_nothing_is_to_do_ends_nothing(
    world: World, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position of the read model is read from the database too, after a wait that timed out."""
    asked = 0

    async def away(*_: object) -> int:
        nonlocal asked
        asked += 1
        raise sqlalchemy.exc.OperationalError("select", {}, psycopg.errors.ConnectionTimeout())

    monkeypatch.setattr(merging, "PATIENCE_SECONDS", 0.01)
    with monkeypatch.context() as broken:
        broken.setattr(Positions, "_stored", away)
        async with world.service():
            while asked < 3:
                await asyncio.sleep(0.01)
            broken.undo()
            await submitted(world, job, 1, 0)
            await world.until(job, ResultSetPublished)
