"""A task or worker whose history cannot be decoded takes no slot and nothing else down."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from kerma_common.contracts.events import runner as events
from kerma_common.contracts.subjects import task_subject, worker_subject
from kerma_runner.read.models import WORKER
from kit.forged import forge
from kit.programs.script_engine import script_input
from kit.running.runner_service import SHORT_LEASE, Running


async def spoil(runner: Running, job: str) -> None:
    """Make the history of a job's only task unreadable."""
    started = events.TaskStarted(job_id=job, index=0, lease=1, worker="w")
    await forge(runner.log, task_subject(job, 0), started)


async def test_a_report_that_is_never_accepted_holds_no_slot(runner: Running) -> None:
    runner.start_worker(slots=1)
    go = runner.folder / "go"
    job = await runner.submit(script_input("slow", go))
    await runner.until(job, "RUNNING")
    await spoil(runner, job)
    go.touch()
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


async def test_a_dead_worker_whose_history_is_unreadable_stops_no_other(runner: Running) -> None:
    first = runner.start_worker(slots=1)
    await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")
    async with runner.db.connect() as conn:
        name = str(await conn.scalar(select(WORKER.c.worker)))
    await forge(runner.log, worker_subject(name), events.WorkerRetired(worker=name, reason="LOST"))
    first.kill()
    runner.start_worker(slots=1, scratch=first.scratch)
    await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")
