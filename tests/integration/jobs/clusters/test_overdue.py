"""Jobs on clusters of which nothing more is heard: they fail in time, also over restarts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from kerma_common.clock import system_clock
from kerma_common.contracts.events import results
from kerma_common.contracts.subjects import job_subject, result_set_subject
from kerma_common.infra import Infra
from kerma_jobs.adapters.task_progress import ProgressRows
from kerma_jobs.app.overdue import Overdue
from kerma_jobs.domain.commands import EndOverdueJob
from kit.running.worlds.ahead import Start, World
from kit.running.worlds.cluster import Script, register, remove, run
from kit.running.worlds.jobs_world import appears, append, offer, publish

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOTHING = timedelta()
RESULTS, SILENCE = timedelta(hours=24), timedelta(hours=168)
MOMENT = timedelta(minutes=11)


async def submitted(world: World) -> Script:
    """Submit a job of two tasks to a cluster."""
    await offer(world[1], "first", "geant4")
    cluster = await register(world[1], "ares")
    script = await run(*world)
    await remove(world[1], cluster)
    return script


async def again(script: Script, world: World) -> Script:
    """Return the script with the service after another start."""
    client, infra = world
    record = (await infra.log.load(job_subject(script.job)))[0]
    owner = record.commit.events[0].data["owner"]

    async def send(method: str, path: str, **how: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {owner}"}
        return await client.request(method, path, headers=headers, **how)

    return replace(script, client=client, infra=infra, send=send)


async def rows(infra: Infra, statement: str, *values: object) -> list[Any]:
    async with infra.writers.lend() as connection:
        return await (await connection.execute(statement, values)).fetchall()


async def looked(script: Script, timer: str, since: datetime) -> None:
    """Wait until a timer of the job is set after a time, and no command is left."""
    timers = "SELECT 1 FROM jobs_process.process_timer WHERE key = %s AND timer = %s AND due > %s"
    owed = "SELECT 1 FROM jobs_process.process_outbox WHERE key = %s"
    async with asyncio.timeout(20):
        while not await rows(script.infra, timers, script.job, timer, since) or await rows(
            script.infra, owed, script.job
        ):
            await asyncio.sleep(0.05)


async def fails(start: Start, script: Script, after: timedelta, name: str) -> str:
    """Start the service twice after this time; return why the job failed then."""
    async with start(after + MOMENT) as world:
        script = await again(script, world)
        await looked(script, f"{name}-again", system_clock() + after)
        assert "JobFailed" not in await script.events()
    async with start(after + 2 * MOMENT) as world:
        script = await again(script, world)
        await appears(script.infra, script.job, "JobFailed")
        found = await script.status()
        assert found["job_state"] == "FAILED"
        states = {task["task_state"] for task in found["job_tasks_status"]}
        assert not states & {"PENDING", "RUNNING"}
        return str(found["message"])


async def test_results_that_never_come(start: Start) -> None:
    async with start(NOTHING) as world:
        script = await submitted(world)
        for number in (1, 2):
            await script.said(number, task_state="COMPLETED")
        assert (await script.states())[0] == "MERGING_QUEUED"
    async with start(RESULTS - MOMENT) as world:
        script = await again(script, world)
        assert (await script.states())[0] == "MERGING_QUEUED"
    why = await fails(start, script, RESULTS, "results")
    assert "no results came within 24 hours (KERMA_JOBS_RESULTS_HOURS)" in why


async def test_a_script_that_never_reports(start: Start) -> None:
    async with start(NOTHING) as world:
        script = await submitted(world)
    why = await fails(start, script, SILENCE, "silence")
    assert "reported nothing for 168 hours (KERMA_JOBS_SILENCE_HOURS)" in why


async def test_progress_keeps_a_job_though_it_is_no_event(start: Start) -> None:
    async with start(NOTHING) as world:
        script = await submitted(world)
        await script.said(1, simulated_primaries=5)
        await rows(
            script.infra,
            "UPDATE jobs_process.task_progress SET reported_at = reported_at + interval '12 hours' "
            "WHERE job_id = %s RETURNING index",
            script.job,
        )
    for ahead, timer in ((MOMENT, "silence-again"), (2 * MOMENT, "silence")):
        async with start(SILENCE + ahead) as world:
            script = await again(script, world)
            await looked(script, timer, system_clock() + SILENCE)
            assert (await script.states())[0] == "PENDING"
    # eighths of a week later
    why = await fails(start, script, SILENCE * 9 / 8 + 2 * MOMENT, "silence")
    assert "reported nothing" in why


async def test_a_result_set_that_comes_in_time(start: Start) -> None:
    async with start(NOTHING) as world:
        script = await submitted(world)
        for number in (1, 2):
            await script.said(number, task_state="COMPLETED")
        await publish(script.infra, script.job, 2, 20, partial=False)
        await appears(script.infra, script.job, "JobCompleted")
        left = "SELECT timer FROM jobs_process.process_timer WHERE key = %s"
        async with asyncio.timeout(20):
            while await rows(script.infra, left, script.job):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("since", [None, system_clock()], ids=["results", "silence"])
async def test_results_count_before_the_process_has_read_them(
    start: Start, since: datetime | None
) -> None:
    async with start(NOTHING) as world:
        script = await submitted(world)
        infra = script.infra
        overdue = Overdue(infra.log, ProgressRows(infra.writers, infra.service))
        end = EndOverdueJob(script.job, "X", "", system_clock(), since)
        assert not await overdue.is_alive(end)
        received = results.ResultsReceived(job_id=script.job, digest="00", tasks=2)
        await append(infra, result_set_subject(script.job), received)
        assert await overdue.is_alive(end)


async def test_results_that_wait_for_their_publication(start: Start) -> None:
    async with start(NOTHING) as world:
        script = await submitted(world)
        for number in (1, 2):
            await script.said(number, task_state="COMPLETED")
        received = results.ResultsReceived(job_id=script.job, digest="00", tasks=2)
        subject = result_set_subject(script.job)
        await append(script.infra, subject, received)
        left = "SELECT timer FROM jobs_process.process_timer WHERE key = %s"
        async with asyncio.timeout(20):
            while await rows(script.infra, left, script.job):
                await asyncio.sleep(0.05)
    for late in (RESULTS + MOMENT, SILENCE + 2 * MOMENT):
        async with start(late) as world:
            script = await again(script, world)
            assert (await script.states())[0].startswith("MERGING")
    async with start(SILENCE + 3 * MOMENT) as world:
        script = await again(script, world)
        await publish(script.infra, script.job, 2, 20, partial=False)
        await appears(script.infra, script.job, "JobCompleted")
