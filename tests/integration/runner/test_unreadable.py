"""A task whose history cannot be decoded is lost; it takes no slot and nothing else down."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from kerma_common.contracts.events import runner as events
from kerma_common.contracts.subjects import task_loss_subject, task_subject, worker_subject
from kerma_runner.app.task_loss import REASON
from kerma_runner.read.models import WORKER
from kit.forged import forge
from kit.programs.script_engine import script_input
from kit.running.worlds.runner_service import PATIENCE, SHORT_LEASE, Running


async def spoil(runner: Running, job: str) -> None:
    """Make the history of a job's only task unreadable."""
    started = events.TaskStarted(job_id=job, index=0, lease=1, worker="w")
    await forge(runner.log, task_subject(job, 0), started)


async def lost(runner: Running, job: str, *tasks: int) -> None:
    """Wait until tasks of a job are lost."""
    subject = task_loss_subject(job)
    async with asyncio.timeout(PATIENCE), runner.log.follow("RUNNER", 0) as batches:
        async for batch in batches:
            if any(record.subject == str(subject) for record in batch):
                break
    [found] = await runner.log.load(subject)
    [event] = [stored.decode() for stored in found.commit.events]
    assert event == events.TasksLost(job_id=job, tasks=tasks, reason=REASON)


async def test_a_task_whose_report_cannot_be_recorded_is_lost(runner: Running) -> None:
    runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    await spoil(runner, job)
    go.touch()
    await lost(runner, job, 0)
    for _ in range(3):
        await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")


@pytest.mark.parametrize("lease_seconds", [SHORT_LEASE])
async def test_other_leases_of_a_dead_worker_end(runner: Running) -> None:
    first = runner.start_worker(slots=2)
    go = runner.folder / "go"
    jobs = [await runner.submit(script_input("slow", go)) for _ in range(2)]
    for job in jobs:
        await runner.until(job, "RUNNING")
    # the leases end in the order of the jobs' ids
    spoilt, other = sorted(jobs)
    await spoil(runner, spoilt)
    first.kill()
    go.touch()
    runner.start_worker(slots=1)
    await runner.until(other, "SUCCEEDED")
    await lost(runner, spoilt, 0)
    # the runner still dispatches, and retires the worker
    await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")


async def test_a_ticket_of_such_a_task_holds_no_slot(runner: Running) -> None:
    spoilt = await runner.submit(script_input("ok"))
    await runner.until(spoilt, "QUEUED")
    await spoil(runner, spoilt)
    other = await runner.submit(script_input("ok"))
    await runner.until(other, "QUEUED")
    runner.start_worker(slots=1)
    await runner.until(other, "SUCCEEDED")
    await lost(runner, spoilt, 0)


async def test_cancelling_such_a_task_stops_its_engine(runner: Running) -> None:
    runner.start_worker(slots=1)
    job = await runner.submit(script_input("slow", runner.folder / "never"))
    await runner.until(job, "RUNNING")
    await spoil(runner, job)
    await runner.cancel(job)
    await lost(runner, job, 0)
    # the only slot is free again
    await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")


async def test_a_dead_worker_whose_history_is_unreadable_stops_no_other(runner: Running) -> None:
    first = runner.start_worker(slots=1)
    await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")
    async with runner.db.connect() as conn:
        name = str(await conn.scalar(select(WORKER.c.worker)))
    await forge(runner.log, worker_subject(name), events.WorkerRetired(worker=name, reason="LOST"))
    first.kill()
    runner.start_worker(slots=1, scratch=first.scratch)
    await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")
