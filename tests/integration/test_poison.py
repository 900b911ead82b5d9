"""Poison on every subject of a running system: it goes on, and handles the next good message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kerma_common.contracts.events.jobs import JobCanceled
from kerma_common.contracts.events.runner import TaskStarted
from kerma_common.contracts.progress import TaskProgress, progress_subject
from kerma_common.contracts.registry import adapter
from kerma_common.contracts.subjects import STREAMS, job_subject, task_set_subject, task_subject
from kerma_common.eventlog.kept import read_all
from kerma_common.infra import Infra
from kerma_common.poison import STREAM, copied
from kerma_jobs.main import build
from kit.events.strange_messages import BODIES, HEADERS, messages, send
from kit.inputs.projects import submission
from kit.programs.script_engine import script_input
from kit.running.worlds.jobs_world import NamedUsers, append, as_user, offer
from kit.running.worlds.runner_service import Running, eventually, running_runner
from kit.running.worlds.services import prepare, running

World = tuple[httpx.AsyncClient, Infra, Running]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.asyncio(loop_scope="module")
JOB = "20260101-000000-00000000-0000-0000-0000-000000000000DIRECT"
SUBJECTS = (
    *(f"ev.{context}.thing.00.x".encode() for context in STREAMS),
    *(f"ev.{context}.\xff\xfe".encode("latin-1") for context in STREAMS),
    str(job_subject(JOB)).encode(),
    str(task_subject(JOB, 0)).encode(),
    str(task_set_subject(JOB)).encode(),
    progress_subject(JOB, 0).encode(),
    b"tele.task",
    b"tele.task.a.b.c",
    b"work.task.pool.script",
    b"rpc.runner.register",
    b"rpc.runner.retire",
    b"rpc.runner.claim",
    b"rpc.runner.start",
    b"rpc.runner.heartbeat",
    b"rpc.runner.report",
    b"rpc.runner.bundle",
    b"sig.runner.dispatch",
    b"sig.worker.x",
    b"pos.jobs.jobs.JOBS",
    b"pos.runner.queue.RUNNER",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """The jobs service and the runner with a worker, on one bus."""
    folder: Path = tmp_path_factory.mktemp("world")
    await prepare(nats_url)
    async with (
        running_runner(nats_url, postgres_url, folder) as runner,
        running(
            "jobs",
            "kerma_jobs",
            build,
            nats_url=nats_url,
            postgres_url=postgres_url,
            blobs=folder / "blobs",
            verifier=NamedUsers(),
        ) as (client, infra),
    ):
        await offer(infra, "first", "geant4")
        runner.start_worker(slots=1)
        # a lane is purged when its first worker comes
        await runner.until(await runner.submit(script_input("ok")), "SUCCEEDED")
        yield client, infra, runner


async def everything_works(world: World) -> None:
    """Assert that a task runs, a job goes on, and progress is shown."""
    client, infra, runner = world
    run = await runner.submit(script_input("ok"))
    ask = as_user(client)
    answer = await ask("POST", "/jobs/direct", json=submission(primaries=10, tasks=1))
    assert answer.status_code == 202, answer.text
    job = answer.json()["job_id"]
    task = task_subject(job, 0)
    # the runner queues the tasks of the job, and only this test takes one
    await eventually(lambda: infra.log.last_seq(task_set_subject(job)))
    await append(infra, task, TaskStarted(job_id=job, index=0, lease=1, worker="w"))
    told = TaskProgress(job, 0, 1, 7, 30.0, datetime.now(UTC))
    body = adapter(TaskProgress).dump_json(told)

    async def shown() -> bool:
        await infra.nats.publish(progress_subject(job, 0), body)
        status = (await ask("GET", "/jobs", params={"job_id": job})).json()
        return bool(status["job_tasks_status"][0]["simulated_primaries"] == 7)

    await eventually(shown)
    await runner.until(run, "SUCCEEDED")
    await runner.record(JobCanceled(job_id=run, succeeded=1, failed=0, canceled=0, ended_at=NOW))


async def test_known_poison_on_every_subject_ends_nothing(world: World) -> None:
    _, infra, _ = world
    for subject in SUBJECTS:
        for body in BODIES:
            await send(infra.nats, subject, body)
        for headers in HEADERS:
            await send(infra.nats, subject, b"{}", headers)
    await everything_works(world)
    found = [copied(body) for body in await read_all(infra.nats, STREAM)]
    sources = {copy["source"] for copy in found if copy is not None}
    assert sources >= {"log", "request", "telemetry", "ticket", "position"}


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a system that has ended tells nothing of less
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batch=st.lists(st.tuples(st.sampled_from(SUBJECTS), messages()), min_size=30, max_size=60))
async def test_any_bytes_on_any_subject_end_nothing(
    world: World, batch: list[tuple[bytes, tuple[bytes, bytes]]]
) -> None:
    _, infra, _ = world
    for subject, (headers, body) in batch:
        await send(infra.nats, subject, body, headers)
    await everything_works(world)
