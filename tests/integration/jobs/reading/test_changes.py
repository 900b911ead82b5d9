"""What a reading of changes holds when rows move on after its position was read."""

from __future__ import annotations

import httpx
import pytest

from kerma_common.contracts.events import runner
from kerma_common.contracts.subjects import task_subject
from kerma_common.infra import Infra
from kerma_jobs.read.changes import ChangeQueries, Position
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import append, as_user, seen, start, user_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Earlier(ChangeQueries):
    """Reads the rows later than their position."""

    at: Position

    async def position(self) -> Position:
        return self.at


async def test_the_end_of_a_job_is_told_though_its_tasks_are_still_stopping(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = jobs
    send = as_user(client)
    queries, late = ChangeQueries(infra.reads), Earlier(infra.reads)
    made = await send("POST", "/jobs/direct", json=submission(primaries=20, tasks=2))
    job = made.json()["job_id"]
    await start(infra, job, 0)
    before = await queries.position()
    await send("DELETE", "/jobs/direct", params={"job_id": job})
    late.at = await queries.position()
    assert late.at.jobs > before.jobs
    stopped = runner.TaskCanceled(job_id=job, index=0)
    await seen(infra, await append(infra, task_subject(job, 0), stopped))
    found = await late.since(before, [user_of(send)])
    assert [(x.job.job_id, x.job.state) for x in found.jobs] == [(job, "CANCELED")]
    # once: the tasks of a job that has ended make no news
    late.at = await queries.position()
    assert late.at.runner > found.position.runner
    assert (await late.since(found.position, [user_of(send)])).jobs == []
