"""What live updates hold: why a job waits, as its status says; and nothing that is not documented."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from kerma_common.contracts.events import runner
from kerma_common.contracts.subjects import task_subject
from kerma_common.infra import Infra
from kerma_jobs.app import live_updates
from kit.described import event_validator
from kit.inputs.projects import submission
from kit.running.clients.event_streams import EventReader, Told, app_of, listening
from kit.running.worlds.jobs_world import append, as_user, leave, offer, start, user_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

World = tuple[httpx.AsyncClient, Infra]
ENGINE = "fluka"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at waiting jobs as soon as their queue is read anew."""
    monkeypatch.setattr(live_updates, "OUTLOOK_SECONDS", 1.2)


async def submit(send: Any, tasks: int = 2) -> str:
    body = submission(primaries=20, tasks=tasks, sim_type=ENGINE)
    answer = await send("POST", "/jobs/direct", json={**body, "wait_for_engine": True})
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["job_id"]
    return job


async def says(stream: EventReader, job: str, text: str) -> str:
    """Return the first message of the job that contains a text."""
    while True:
        told = await stream.until("job", id=job)
        if text in told.data["message"]:
            message: str = told.data["message"]
            return message


async def test_a_stream_says_why_a_job_waits_as_the_status_does(jobs: World) -> None:
    client, infra = jobs
    send, other = as_user(client), as_user(client)

    async def status() -> str:
        answer = await send("GET", "/jobs", params={"job_id": job})
        return str(answer.json()["message"])

    async with listening(app_of(client), "/v1/jobs/events", user_of(send)) as stream:
        await stream.until("ready")
        before = await submit(other, tasks=3)
        job = await submit(send)
        # of these, the job itself causes none but the first
        told = await says(stream, job, f"no worker offers {ENGINE} now")
        assert told == await status()
        await offer(infra, "late", ENGINE)
        told = await says(stream, job, "1 task starts before its first one")
        assert told == await status()
        # a stream that begins, or goes on from elsewhere, says the same
        path = f"/v1/jobs/{job}/events"
        async with listening(app_of(client), path, user_of(send)) as one:
            first = await one.until("job", id=job)
            assert first.data["message"] == told
        await other("DELETE", "/jobs/direct", params={"job_id": before})
        told = await says(stream, job, "a worker is free for it")
        assert told == await status()
        await leave(infra, "late")
        assert await says(stream, job, "no worker offers") == await status()
    await send("DELETE", "/jobs/direct", params={"job_id": job})


async def test_a_stream_that_goes_on_elsewhere_hears_when_another_reason_holds(
    jobs: World,
) -> None:
    client, infra = jobs
    send = as_user(client)
    job = await submit(send)
    path, user = "/v1/jobs/events", user_of(send)
    async with listening(app_of(client), path, user) as stream:
        position = (await stream.until("ready")).id
    async with listening(app_of(client), path, user, position) as stream:
        await stream.until("ready")
        await offer(infra, "later", ENGINE)
        await says(stream, job, "a worker is free for it")
    await leave(infra, "later")
    await send("DELETE", "/jobs/direct", params={"job_id": job})


async def test_a_stream_says_that_a_worker_was_lost(jobs: World) -> None:
    client, infra = jobs
    send = as_user(client)
    await offer(infra, "losing", ENGINE)
    async with listening(app_of(client), "/v1/jobs/events", user_of(send)) as stream:
        job = await submit(send)
        await start(infra, job, 0)
        told = await stream.until("job", id=job, state="RUNNING")
        assert told.data["message"] == "Job state: RUNNING"
        lost = runner.TaskRequeued(
            job_id=job, index=0, reason="LOST", attempt=2, not_before=datetime.now(UTC)
        )
        await append(infra, task_subject(job, 0), lost)
        said = await says(stream, job, "the worker of a task was lost, and they wait again")
        status = await send("GET", "/jobs", params={"job_id": job})
        assert said == status.json()["message"]
    await leave(infra, "losing")
    await send("DELETE", "/jobs/direct", params={"job_id": job})


async def test_nothing_is_told_twice_while_a_job_waits_for_the_same_reason(jobs: World) -> None:
    client, _ = jobs
    send, other = as_user(client), as_user(client)
    job = await submit(send)
    async with listening(app_of(client), "/v1/jobs/events", user_of(send)) as stream:
        await stream.until("ready")
        for _ in range(3):  # what others do wakes the service
            await submit(other)
            await asyncio.sleep(0.6)
        await send("DELETE", "/jobs/direct", params={"job_id": job})
        told = await stream.until("job")
        assert told.data["state"] == "CANCELED"


async def test_every_event_is_as_documented(jobs: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client, infra = jobs
    send = as_user(client)
    user, path = user_of(send), "/v1/jobs/events"
    judge = event_validator(path)
    kinds = set()

    def check(told: Told | None) -> str:
        assert told is not None
        judge.validate(told.fields)
        kinds.add(told.kind)
        return told.kind

    job = await submit(send)
    async with listening(app_of(client), path, user, f"{10**15}-0-0") as stream:
        while check(await stream.next()) != "ready":
            pass
        await start(infra, job, 0)
        check(await stream.until("job", id=job, state="RUNNING"))
        await send("DELETE", "/jobs/direct", params={"job_id": job})
        check(await stream.until("job", id=job, state="CANCELED"))
        await send("DELETE", "/user/simulations", params={"job_id": job})
        check(await stream.until("deleted"))
    assert kinds == {"job", "deleted", "reset", "ready"}
    told = Told("job", "1-1-1", {"id": job})
    assert not judge.is_valid(told.fields)
    assert not judge.is_valid({"event": "ready", "id": "1-1-1", "data": {"more": 1}})
