"""Live updates over the application's interface; the test plays runner, results and auth."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from kerma_common.contracts.events import auth
from kerma_common.contracts.progress import progress_subject
from kerma_common.http.server.leaving import LEAVING, Leaving
from kerma_common.infra import Infra
from kerma_jobs.read.changes import ChangeQueries, Position
from kit.inputs.projects import submission
from kit.running.clients.event_streams import app_of, listening
from kit.running.worlds.jobs_world import (
    appears,
    as_user,
    publish,
    start,
    succeed,
    user_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

World = tuple[httpx.AsyncClient, Infra]


def named(client: httpx.AsyncClient) -> tuple[Any, str]:
    """Return a new user's HTTP client, and the user's token."""
    send = as_user(client)
    return send, user_of(send)


async def submit(send: Any, tasks: int = 2) -> str:
    answer = await send("POST", "/jobs/direct", json=submission(primaries=20, tasks=tasks))
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["job_id"]
    return job


async def test_a_stream_tells_what_the_status_shows(jobs: World) -> None:
    client, infra = jobs
    send, user = named(client)
    async with listening(app_of(client), "/v1/jobs/events", user) as stream:
        assert await stream.kinds(1) == ["ready"]
        assert (stream.status, stream.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        assert stream.headers["x-accel-buffering"] == "no"
        job = await submit(send)
        told = await stream.until("job", id=job, state="PENDING")
        assert told.data["tasks"] == {
            "total": 2,
            "pending": 2,
            "running": 0,
            "completed": 0,
            "failed": 0,
            "canceled": 0,
        }
        await start(infra, job, 0)
        told = await stream.until("job", id=job, state="RUNNING")
        progress = {
            "job_id": job,
            "index": 0,
            "lease": 1,
            "primaries": 7,
            "eta_seconds": None,
            "at": "2026-11-22T12:00:00Z",
        }
        body = orjson.dumps(progress)
        await infra.nats.jetstream().publish(progress_subject(job, 0), body)
        while told.data["primaries"] != {"requested": 20, "simulated": 7}:
            told = await stream.until("job", id=job)
        await succeed(infra, job, 1, 10)
        await succeed(infra, job, 0, 10)
        await appears(infra, job, "JobMergeRequested")
        await publish(infra, job, 2, 20, partial=False)
        told = await stream.until("job", id=job, state="COMPLETED")
        status = (await send("GET", "/jobs", params={"job_id": job})).json()
        assert (status["job_state"], status["message"]) == ("COMPLETED", told.data["message"])
        assert told.data["primaries"]["simulated"] == 20
        await send("DELETE", "/user/simulations", params={"job_id": job})
        assert (await stream.until("deleted")).data == {"id": job}


async def test_a_stream_resumes_where_it_was(jobs: World) -> None:
    client, infra = jobs
    send, user = named(client)
    gone, ended, waiting = [await submit(send) for _ in range(3)]
    async with listening(app_of(client), "/v1/jobs/events", user) as stream:
        first = await stream.until("ready")
    # missed: an end, a deletion, a start
    for job in (gone, ended):
        await send("DELETE", "/jobs/direct", params={"job_id": job})
    await send("DELETE", "/user/simulations", params={"job_id": gone})
    await start(infra, waiting, 0)
    async with listening(app_of(client), "/v1/jobs/events", user, first.id) as stream:
        told = {}
        while (event := await stream.next()) is not None and event.kind != "ready":
            told[event.data["id"]] = (event.kind, event.data.get("state"))
        assert told == {
            gone: ("deleted", None),
            ended: ("job", "CANCELED"),
            waiting: ("job", "RUNNING"),
        }
        assert event is not None
    async with listening(app_of(client), "/v1/jobs/events", user, event.id) as stream:
        assert await stream.kinds(1) == ["ready"]
    # the log was restored: what was missed is not known
    async with listening(app_of(client), "/v1/jobs/events", user, f"{10**15}-0-0") as stream:
        kinds = await stream.kinds(3)
        assert kinds == ["reset", "job", "ready"]


async def test_of_more_jobs_than_a_stream_holds_it_says_to_read_the_list(
    jobs: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = jobs
    send, user = named(client)
    made = [await submit(send) for _ in range(3)]
    monkeypatch.setattr("kerma_jobs.app.live_updates.MOST_AT_FIRST", 2)
    async with listening(app_of(client), "/v1/jobs/events", user) as stream:
        kinds = await stream.kinds(2)
        assert kinds == ["reset", "ready"]
        async with listening(app_of(client), "/v1/jobs/events", user, "0-0-0") as resumed:
            kinds = await resumed.kinds(2)
            assert kinds == ["reset", "ready"]
        await send("DELETE", "/jobs/direct", params={"job_id": made[0]})
        await stream.until("job", id=made[0], state="CANCELED")


async def test_the_jobs_of_others_are_not_read(jobs: World) -> None:
    client, infra = jobs
    changes = ChangeQueries(infra.reads)
    ada, eva = named(client), named(client)
    made = {user: [await submit(send) for _ in range(3)] for send, user in (ada, eva)}
    for send, _ in (ada, eva):
        await send("GET", "/user/simulations")  # as of now: the rows are there
    for user, own in made.items():
        found = await changes.since(Position(0, 0, 0), [user])
        assert [changed.job.job_id for changed in found.jobs] == own
    (_, user), others = ada, made[eva[1]]
    named_ones = await changes.since(found.position, [user], [made[user][0], others[0]])
    assert [changed.job.job_id for changed in named_ones.jobs] == made[user][:1]


async def test_of_too_many_jobs_no_task_is_counted(
    jobs: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, infra = jobs
    send, user = named(client)
    for _ in range(3):
        await submit(send)
    await send("GET", "/user/simulations")
    changes = ChangeQueries(infra.reads)
    assert len((await changes.since(Position(0, 0, 0), [user], most=3)).jobs) == 3
    monkeypatch.setattr(changes, "_changed", None)  # what counts them
    found = await changes.since(Position(0, 0, 0), [user], most=2)
    assert (found.complete, found.jobs, found.deleted) == (False, (), {})


async def test_a_stream_of_one_job_tells_of_no_other(jobs: World) -> None:
    client, _ = jobs
    send, user = named(client)
    job, other = await submit(send), await submit(send)
    path = f"/v1/jobs/{job}/events"
    async with listening(app_of(client), path, user) as stream:
        told = await stream.next()
        assert told is not None
        assert (told.kind, told.data["id"]) == ("job", job)
        await send("DELETE", "/jobs/direct", params={"job_id": other})
        await send("DELETE", "/jobs/direct", params={"job_id": job})
        assert (await stream.until("job", state="CANCELED")).data["id"] == job
    stranger = await client.get(path, headers={"Authorization": "Bearer somebody"})
    assert stranger.status_code == 403
    assert (await client.get("/v1/jobs/events")).status_code == 401


@pytest.mark.parametrize("what", ["session", "account", "other session"])
async def test_a_stream_ends_with_its_session(jobs: World, what: str) -> None:
    client, infra = jobs
    _, user = named(client)
    now = datetime.now(UTC)
    async with listening(app_of(client), "/v1/jobs/events", user) as stream:
        await stream.until("ready")
        ended: dict[str, object] = {
            "session": auth.SessionEnded(user_id=user, session_id=f"session-{user}", expires=now),
            "account": auth.AccountDisabled(user_id=user),
            "other session": auth.SessionEnded(user_id=user, session_id="another", expires=now),
        }
        infra.identity.apply(ended[what])
        if what == "other session":
            infra.identity.apply(ended["session"])
        assert await stream.next() is None


async def test_a_stream_ends_when_the_server_stops(jobs: World) -> None:
    client, _ = jobs
    _, user = named(client)
    leaving = Leaving()
    async with listening(
        app_of(client), "/v1/jobs/events", user, extensions={LEAVING: leaving}
    ) as stream:
        await stream.until("ready")
        leaving.now()
        assert await stream.next() is None


async def test_a_user_has_a_limited_number_of_streams(jobs: World) -> None:
    client, _ = jobs
    _, user = named(client)
    async with asyncio.TaskGroup() as group:
        opened, over = asyncio.Semaphore(0), asyncio.Event()

        async def hold() -> None:
            async with listening(app_of(client), "/v1/jobs/events", user) as stream:
                await stream.until("ready")
                opened.release()
                await over.wait()

        for _ in range(20):
            group.create_task(hold())
        for _ in range(20):
            await opened.acquire()
        bearer = {"Authorization": f"Bearer {user}"}
        one_more = await client.get("/v1/jobs/events", headers=bearer)
        over.set()
    assert one_more.status_code == 429
    assert one_more.headers["Retry-After"]
    # a request for the head alone does not last
    async with listening(app_of(client), "/v1/jobs/events", user, method="HEAD") as stream:
        assert await stream.next() is None


async def test_a_client_that_reads_nothing_gets_the_last_state_of_each_job(jobs: World) -> None:
    client, infra = jobs
    send, user = named(client)
    job = await submit(send, tasks=3)
    path = "/v1/jobs/events"
    async with (
        listening(app_of(client), path, user) as stream,
        listening(app_of(client), path, user) as reader,
    ):
        await stream.until("ready")
        stream.reading.clear()
        for index in range(3):
            await succeed(infra, job, index, 6 + (index < 2))
            if index < 2:  # told to both at the same time
                simulated = {"requested": 20, "simulated": 7 * (index + 1)}
                await reader.until("job", primaries=simulated)
        await reader.until("job", state="MERGING_QUEUED")
        stream.reading.set()
        told = [await stream.until("job", id=job)]
        while told[-1].data["state"] != "MERGING_QUEUED":
            told.append(await stream.until("job", id=job))
        # one was being sent, one waited
        assert len(told) <= 2
