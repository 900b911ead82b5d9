"""What is kept of task lists and of numbers of jobs never differs from the rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from sqlalchemy import text

from kerma_common.contracts.events import runner
from kerma_common.contracts.subjects import task_subject
from kerma_common.infra import Infra
from kerma_common.projection.rebuild import rebuild
from kerma_jobs.adapters.live_progress import TelemetryProgress
from kerma_jobs.api.status import TaskLists
from kerma_jobs.main import projections
from kerma_jobs.read.lists import JobLists
from kerma_jobs.read.queries import JobQueries
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import appears, append, as_user, fail, publish, succeed

pytestmark = pytest.mark.asyncio(loop_scope="module")
Jobs = tuple[httpx.AsyncClient, Infra]


class Watched:
    """A job whose status is read by the service, warm, and by a process that keeps nothing."""

    def __init__(self, infra: Infra, send: Callable[..., Any], job: str) -> None:
        self.infra, self.send, self.job = infra, send, job
        self.states: list[str] = []

    async def same(self) -> list[dict[str, Any]]:
        """Return the tasks, which both show alike."""
        for stream in ("JOBS", "RUNNER"):
            last = (await self.infra.log.state(stream)).last
            assert await self.infra.positions.wait("jobs", stream, last, 10.0)
        fresh = TaskLists(JobQueries(self.infra.reads), TelemetryProgress())
        job, shown = await fresh.read(self.job, "")
        assert job is not None
        _, shown = await fresh.read(self.job, job.owner)
        for _ in range(2):
            status = (await self.send("GET", "/jobs", params={"job_id": self.job})).json()
            assert status["job_tasks_status"] == orjson.loads(shown)
            assert status["job_state"] == job.state
        self.states.append(job.state)
        tasks: list[dict[str, Any]] = status["job_tasks_status"]
        return tasks


@pytest_asyncio.fixture(loop_scope="module")
async def watched(jobs: Jobs) -> Watched:
    client, infra = jobs
    send = as_user(client)
    body = submission(primaries=20, tasks=2)
    job = (await send("POST", "/jobs/direct", json=body)).json()["job_id"]
    found = Watched(infra, send, job)
    await found.same()
    return found


async def test_every_event_of_a_job_shows(watched: Watched) -> None:
    infra, job = watched.infra, watched.job
    first, second = task_subject(job, 0), task_subject(job, 1)
    started = runner.TaskStarted(job_id=job, index=0, lease=1, worker="w")
    await append(infra, first, started)
    assert [task["task_state"] for task in await watched.same()] == ["RUNNING", "PENDING"]
    requeued = runner.TaskRequeued(
        job_id=job, index=0, reason="LOST", attempt=2, not_before=datetime.now(UTC)
    )
    await append(infra, first, requeued)
    assert [task["task_state"] for task in await watched.same()] == ["PENDING", "PENDING"]
    await append(infra, second, runner.TaskStarted(job_id=job, index=1, lease=1, worker="w"))
    await fail(infra, job, 1)
    assert [task["task_state"] for task in await watched.same()] == ["PENDING", "FAILED"]
    await succeed(infra, job, 0, 10)
    await appears(infra, job, "JobMergeRequested")
    assert [task["task_state"] for task in await watched.same()] == ["COMPLETED", "FAILED"]
    await publish(infra, job, 1, 10, partial=True)
    await appears(infra, job, "JobCompleted")
    await watched.same()
    assert watched.states == [
        "PENDING",
        "RUNNING",
        "RUNNING",
        "RUNNING",
        "MERGING_QUEUED",
        "COMPLETED",
    ]


async def test_a_cancellation_shows(watched: Watched) -> None:
    await watched.send("DELETE", "/jobs/direct", params={"job_id": watched.job})
    assert {task["task_state"] for task in await watched.same()} == {"CANCELED"}
    canceled = runner.TasksCanceled(job_id=watched.job, tasks=((0, 2),), withdrawn=1)
    await append(watched.infra, task_subject(watched.job, 0), canceled)
    assert all("end_time" in task for task in await watched.same())


async def test_rows_that_were_replaced_show(watched: Watched) -> None:
    """A rebuild may bring other rows for the same events, if a commit was quarantined before."""
    infra = watched.infra
    await succeed(infra, watched.job, 0, 10)
    await watched.same()
    before = await JobQueries(infra.reads).head(watched.job)
    await rebuild(projections(infra), infra.log, infra.db)
    await watched.same()
    after = await JobQueries(infra.reads).head(watched.job)
    assert before is not None
    assert after is not None
    assert before.version != after.version


async def test_rows_that_an_operator_mended_show(watched: Watched) -> None:
    infra = watched.infra
    await succeed(infra, watched.job, 0, 10)
    await watched.same()
    async with infra.db.begin() as connection:
        for change in (
            "UPDATE jobs.task SET simulated = 7 WHERE job_id = :job",
            "UPDATE jobs.job SET tasks_seq = tasks_seq WHERE job_id = :job",
        ):
            await connection.execute(text(change), {"job": watched.job})
    assert [task["simulated_primaries"] for task in await watched.same()] == [7, 0]


async def complete(infra: Infra, job: str) -> None:
    """Bring a job of two tasks to its end."""
    for index in range(2):
        await succeed(infra, job, index, 10)
    await appears(infra, job, "JobMergeRequested")
    await publish(infra, job, 2, 20, partial=False)
    await appears(infra, job, "JobCompleted")


async def test_the_number_of_jobs_is_that_of_the_rows(jobs: Jobs) -> None:
    client, infra = jobs
    send, other = as_user(client), as_user(client)

    async def numbers(of: Callable[..., Any]) -> list[int]:
        """Return the number that the service shows, twice, and the number of jobs it lists."""
        found = []
        for size in (1, 2, 100):
            answer = await of("GET", "/user/simulations", params={"page_size": size})
            found.append(answer.json()["simulations_count"])
            assert len(answer.json()["simulations"]) == min(size, found[-1])
        return found

    async def submit(of: Callable[..., Any]) -> str:
        made = await of("POST", "/jobs/direct", json=submission(primaries=20, tasks=2))
        job: str = made.json()["job_id"]
        return job

    assert await numbers(send) == [0, 0, 0]
    mine = [await submit(send) for _ in range(2)]
    assert await numbers(send) == [2, 2, 2]
    theirs = await submit(other)
    assert await numbers(send) == [2, 2, 2]
    assert await numbers(other) == [1, 1, 1]
    for of, job, left in ((other, theirs, [0, 0, 0]), (send, mine[0], [1, 1, 1])):
        await complete(infra, job)
        assert (await of("DELETE", "/user/simulations", params={"job_id": job})).status_code == 200
        assert await numbers(of) == left
    canceled = await send("GET", "/user/simulations", params={"job_state": "CANCELED"})
    assert canceled.json()["simulations_count"] == 0
    await rebuild(projections(infra), infra.log, infra.db)
    assert await numbers(send) == [1, 1, 1]
    assert await numbers(other) == [0, 0, 0]


async def test_the_number_is_counted_once_per_set_of_jobs(jobs: Jobs) -> None:
    client, infra = jobs
    send = as_user(client)
    await send("POST", "/jobs/direct", json=submission())
    lists = JobLists(infra.reads)
    job = (await send("GET", "/user/simulations")).json()["simulations"][0]["job_id"]
    found = await JobQueries(infra.reads).head(job)
    assert found is not None
    counted = [statement for kind, statement in lists._statements.items() if kind.counted]

    class Watching:
        """Reads that tell which statements were executed."""

        def __init__(self) -> None:
            self.seen: list[Any] = []

        async def all(self, statement: Any, **parameters: Any) -> Any:
            self.seen.append(statement)
            return await infra.reads.all(statement, **parameters)

    watching: Any = Watching()
    lists.reads = watching
    for _ in range(3):
        number, _ = await lists.page(
            found.owner, order_by="start_time", descending=True, states=None, limit=6, offset=0
        )
        assert number == 1
    assert sum(statement in counted for statement in watching.seen) == 1
