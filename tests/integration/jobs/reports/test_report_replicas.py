"""Two replicas of jobs take the reports on one job: nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from kerma_common.clock import system_clock
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import job_subject
from kerma_common.infra import Infra
from kerma_jobs.domain.commands import ReportTasks, TaskReport
from kerma_jobs.domain.job import JOB
from kerma_jobs.main import build
from kit.running.clients.event_streams import app_of, listening
from kit.running.worlds.cluster import Script, run
from kit.running.worlds.jobs_world import NamedUsers, user_of
from kit.running.worlds.services import running

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]
CANCELED = "The job is cancelled: its keys are void."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(
    world: World, nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """A second replica, which projects nothing."""
    async with running(
        "jobs",
        "kerma_jobs",
        build,
        nats_url=nats_url,
        postgres_url=postgres_url,
        blobs=tmp_path_factory.mktemp("other"),
        roles=frozenset({"api"}),
        verifier=NamedUsers(),
    ) as (client, _):
        yield client


async def test_scripts_report_to_either(world: World, other: httpx.AsyncClient) -> None:
    script = await run(*world, tasks=16, primaries=1600)
    replicas = (world[0], other)

    async def tell(number: int, turn: int, **said: object) -> None:
        answer = await replicas[turn % 2].post("/tasks", json=script.task_body(number, **said))
        assert answer.status_code == 202, answer.text

    async def write(number: int) -> None:
        await tell(number, number, task_state="RUNNING")
        for simulated in range(1, 11):
            await tell(number, number + simulated, simulated_primaries=simulated)
        # both replicas hear of the end, one of them may be first
        await asyncio.gather(*(tell(number, turn, task_state="COMPLETED") for turn in (0, 1)))

    await asyncio.gather(*(write(number) for number in range(1, 17)))
    states = await script.states()
    assert states == ["MERGING_QUEUED", *["COMPLETED"] * 16]
    events = await script.events()
    assert events.count("JobAllTasksSettled") == events.count("JobResultsAwaited") == 1


async def test_a_single_task_is_found_by_its_number(world: World) -> None:
    script = await run(*world)
    for number, status in ((0, 404), (1, 200), (2, 200), (3, 404)):
        answer = await script.send("GET", f"/v1/jobs/{script.job}/tasks/{number}")
        assert answer.status_code == status
        assert status == 404 or answer.json()["number"] == number


async def test_streams_of_either_tell_the_progress_of_tasks_on_a_cluster(
    world: World, other: httpx.AsyncClient
) -> None:
    script = await run(*world)
    user = user_of(script.send)
    await script.said(1, task_state="RUNNING")
    async with (
        listening(app_of(world[0]), f"/v1/jobs/{script.job}/events", user) as here,
        listening(app_of(other), f"/v1/jobs/{script.job}/events", user) as there,
    ):
        for simulated in (3, 7):
            await script.said(1, simulated_primaries=simulated)
            shown = {"requested": 20, "simulated": simulated}
            for stream in (here, there):
                await stream.until("job", id=script.job, primaries=shown)
        for number in (1, 2):
            await script.said(number, task_state="COMPLETED")
        for stream in (here, there):
            told = await stream.until("job", id=script.job, state="MERGING_QUEUED")
            assert told.data["primaries"] == {"requested": 20, "simulated": 20}
            assert told.data["tasks"]["completed"] == 2


async def test_counters_only_grow(world: World, other: httpx.AsyncClient) -> None:
    """Reports of a task arrive at both replicas, late and out of order, up to its end."""
    script = await run(*world, tasks=4, primaries=400)
    replicas = (world[0], other)
    steps = [*range(1, 40)]
    mixed = random.Random(7)
    shown: list[dict[int, int]] = []
    over = asyncio.Event()

    async def write(number: int) -> None:
        mixed.shuffle(own := [*steps])
        for turn, simulated in enumerate(own):
            body = script.task_body(number, task_state="RUNNING", simulated_primaries=simulated)
            answer = await replicas[turn % 2].post("/tasks", json=body)
            assert answer.status_code == 202, answer.text
        end = "FAILED" if number == 1 else "COMPLETED"
        last = script.task_body(number, task_state=end, simulated_primaries=1)
        assert (await replicas[number % 2].post("/tasks", json=last)).status_code == 202

    async def look() -> None:
        while not over.is_set():
            for client in replicas:
                headers = {"Authorization": f"Bearer {user_of(script.send)}"}
                answer = await client.get(f"/jobs?job_id={script.job}", headers=headers)
                tasks = answer.json()["job_tasks_status"]
                shown.append({task["task_id"]: task["simulated_primaries"] for task in tasks})

    looking = asyncio.create_task(look())
    await asyncio.gather(*(write(number) for number in range(1, 5)))
    over.set()
    await looking
    for before, after in itertools.pairwise(shown):
        assert all(after[task] >= simulated for task, simulated in before.items())
    tasks = (await script.status())["job_tasks_status"]
    assert [task["simulated_primaries"] for task in tasks] == [39, 100, 100, 100]
    # what comes after the end changes nothing
    events = await script.events()
    for client in replicas:
        for said in ({"task_state": "RUNNING"}, {"simulated_primaries": 90}):
            answer = await client.post("/tasks", json=script.task_body(1, **said))
            assert answer.status_code == 202
    assert (await script.status())["job_tasks_status"] == tasks
    assert await script.events() == events


async def test_an_end_that_was_read_before_the_last_progress_takes_nothing_back(
    world: World,
) -> None:
    script = await run(*world)
    await script.said(1, task_state="RUNNING", simulated_primaries=8)
    now = system_clock()
    late = ReportTasks(script.job, (TaskReport(0, "FAILED", simulated=3),), now, now)
    context = CommandContext("update-key", ("late", script.job), "r", now)
    done = await script.infra.bus.execute(JOB, job_subject(script.job), late, context)
    assert await script.infra.positions.wait("jobs", "JOBS", done.seq, 10.0)
    assert (await script.status())["job_tasks_status"][0]["simulated_primaries"] == 8
    async with listening(
        app_of(world[0]), f"/v1/jobs/{script.job}/events", user_of(script.send)
    ) as stream:
        await stream.until("job", id=script.job, primaries={"requested": 20, "simulated": 8})


async def test_a_cancellation_by_one_replica_ends_the_keys_at_the_other(
    world: World, other: httpx.AsyncClient
) -> None:
    script: Script = await run(*world)
    await script.said(1, task_state="RUNNING")
    path = f"/jobs/batch?job_id={script.job}"
    await script.send("DELETE", path)
    for body in (
        script.task_body(1, task_state="COMPLETED"),
        script.task_body(1, simulated_primaries=7),
    ):
        answer = await other.post("/tasks", json=body)
        assert (answer.status_code, answer.json()["update_key"]) == (400, [CANCELED])
    whole = {"simulation_id": script.number, "update_key": script.key, "tasks": []}
    answer = await other.post("/tasks/bulk", json=whole)
    assert (answer.status_code, answer.json()["update_key"]) == (400, [CANCELED])
    report = {"sim_id": script.number, "update_key": script.key, "job_state": "RUNNING"}
    answer = await other.post("/jobs", json=report)
    assert (answer.status_code, answer.json()["update_key"]) == (400, [CANCELED])
