"""Quotas over HTTP: refusals, their messages, and no race that exceeds a quota."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from kerma_common.contracts.events import results, runner
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import result_set_subject, task_subject
from kerma_common.errors import QuotaExceeded
from kerma_jobs.adapters.reservations import Reservations
from kerma_jobs.domain.quotas import Quotas
from kerma_jobs.settings import JobsSettings
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import (
    Replica,
    appears,
    append,
    as_user,
    succeed,
    two_replicas,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUOTAS = Quotas(active_jobs=3, waiting_tasks=50, stored_bytes=60_000, submissions_per_minute=8)
Replicas = tuple[Replica, Replica]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replicas]:
    """Two instances of the service with small quotas."""
    settings = JobsSettings(quotas={"default": QUOTAS})
    where = {"nats_url": nats_url, "postgres_url": postgres_url}
    blobs = tmp_path_factory.mktemp("blobs")
    async with two_replicas(settings, **where, blobs=blobs) as both:
        yield both


def refused(answer: httpx.Response, status: int, quota: str) -> Mapping[str, Any]:
    """Return the content of a refusal."""
    assert answer.status_code == status, answer.text
    told: Mapping[str, Any] = answer.json()
    assert told["quota"] == quota
    assert str(told["limit"]) in told["message"]
    assert ("Retry-After" in answer.headers) == (status == 429)
    return told


async def test_concurrent_submissions_to_two_replicas_fill_the_quota_exactly(
    replicas: Replicas,
) -> None:
    user = {"Authorization": "Bearer racer"}
    answers = await asyncio.gather(
        *(
            replicas[number % 2][0].post("/jobs/direct", json=submission(), headers=user)
            for number in range(32)
        )
    )
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len(accepted) == QUOTAS.active_jobs
    listed = (await replicas[0][0].get("/user/simulations", headers=user)).json()
    assert listed["simulations_count"] == QUOTAS.active_jobs
    over = [answer for answer in answers if answer.status_code != 202]
    assert {answer.status_code for answer in over} == {429}
    assert {answer.json()["quota"] for answer in over} == {"active_jobs"}
    assert {answer.json()["used"] for answer in over} == {QUOTAS.active_jobs}


ONE = Quotas(active_jobs=1)
SHOW = "INSERT INTO jobs.job (job_id, owner, state) VALUES (%s, %s, 'PENDING')"
HIDE = "DELETE FROM jobs.job WHERE job_id = %s"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kerma quota ' || %s, 0))"


async def test_a_job_counts_once_while_it_appears_and_disappears(
    replicas: Replicas, postgres_url: str
) -> None:
    """Its reservation stops counting at the moment when its row is there."""
    reservations = Reservations(replicas[0][1].writers, "jobs")
    async with (
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other,
        reservations.reserved("first", "counted", ONE, tasks=1, size=1),
    ):

        async def flicker() -> None:
            while True:
                await other.execute(SHOW, ("first", "counted"))
                await other.execute(HIDE, ("first",))

        flickering = asyncio.create_task(flicker())
        try:
            for number in range(100):
                with pytest.raises(QuotaExceeded) as refusal:
                    async with reservations.reserved(f"{number}", "counted", ONE, tasks=1, size=1):
                        pass
                assert refusal.value.used == 1
        finally:
            flickering.cancel()
            await asyncio.wait([flickering])
        assert flickering.cancelled()


async def test_what_another_replica_decided_before_is_counted(
    replicas: Replicas, postgres_url: str
) -> None:
    reservations = Reservations(replicas[0][1].writers, "jobs")

    async def reserve() -> None:
        async with reservations.reserved("late", "patient", ONE, tasks=1, size=1):
            pass

    async with await psycopg.AsyncConnection.connect(postgres_url) as other:
        await other.execute(LOCK, ("patient",))
        waiting = asyncio.create_task(reserve())
        async with asyncio.timeout(30):
            while not await _waits_for_a_lock(other):
                await asyncio.sleep(0.01)
        await other.execute(SHOW, ("early", "patient"))
        await other.commit()
    with pytest.raises(QuotaExceeded):
        await waiting


async def _waits_for_a_lock(server: psycopg.AsyncConnection[Any]) -> bool:
    found = await server.execute(
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    )
    return await found.fetchone() is not None


async def test_a_refusal_leaves_nothing(replicas: Replicas, postgres_url: str) -> None:
    reservations = Reservations(replicas[0][1].writers, "jobs")
    none = Quotas(submissions_per_minute=1)
    async with reservations.reserved("kept", "strict", none, tasks=1, size=1):
        pass
    for _ in range(2):
        with pytest.raises(QuotaExceeded) as refusal:
            async with reservations.reserved("refused", "strict", none, tasks=1, size=1):
                pass
        assert refusal.value.used == 1
        assert refusal.value.retry_after is not None
        assert 0 < refusal.value.retry_after <= 60
    async with await psycopg.AsyncConnection.connect(postgres_url) as other:
        found = await other.execute(
            "SELECT job_id FROM jobs_process.reservation WHERE owner = 'strict'"
        )
        assert await found.fetchall() == [("kept",)]


async def test_room_is_there_again_when_a_job_ends(replicas: Replicas) -> None:
    client, _ = replicas[0]
    send = as_user(client)
    jobs = [
        (await send("POST", "/jobs/direct", json=submission(primaries=10, tasks=1))).json()[
            "job_id"
        ]
        for _ in range(QUOTAS.active_jobs)
    ]
    refused(await send("POST", "/jobs/direct", json=submission()), 429, "active_jobs")
    await send("DELETE", "/jobs/direct", params={"job_id": jobs[0]})
    assert (await send("POST", "/jobs/direct", json=submission())).status_code == 202


async def test_tasks_that_have_started_wait_no_more(replicas: Replicas) -> None:
    client, infra = replicas[0]
    send = as_user(client)
    body = submission(primaries=1000, tasks=40)
    job = (await send("POST", "/jobs/direct", json=body)).json()["job_id"]
    told = refused(await send("POST", "/jobs/direct", json=body), 429, "waiting_tasks")
    assert told["used"] == 40
    for index in range(30):
        started = runner.TaskStarted(job_id=job, index=index, lease=1, worker="w")
        seq = await append(infra, task_subject(job, index), started)
    assert await infra.positions.wait("jobs", "RUNNER", seq, 10.0)
    assert (await send("POST", "/jobs/direct", json=body)).status_code == 202
    refused(await send("POST", "/jobs/direct", json=submission(tasks=51)), 403, "waiting_tasks")


async def test_stored_bytes_are_inputs_outputs_and_pages_of_jobs_that_are_there(
    replicas: Replicas,
) -> None:
    client, infra = replicas[0]
    send = as_user(client)
    job = (await send("POST", "/jobs/direct", json=submission(primaries=10, tasks=1))).json()[
        "job_id"
    ]
    await succeed(infra, job, 0, 10, size=25_000)
    await appears(infra, job, "JobMergeRequested")
    await append(infra, result_set_subject(job), pages(job, 0, 5_000))
    seq = await append(infra, result_set_subject(job), pages(job, 0, 30_000))
    assert await infra.positions.wait("jobs", "RESULTS", seq, 10.0)
    told = refused(await send("POST", "/jobs/direct", json=submission()), 403, "stored_bytes")
    assert told["used"] > 55_000
    published = results.ResultSetPublished(
        job_id=job, tasks_merged=1, primaries_merged=10, partial=False
    )
    await append(infra, result_set_subject(job), published)
    await appears(infra, job, "JobCompleted")
    await send("DELETE", "/user/simulations", params={"job_id": job})
    assert (await send("POST", "/jobs/direct", json=submission())).status_code == 202


def pages(job: str, index: int, size: int) -> results.EstimatorMaterialised:
    return results.EstimatorMaterialised(
        job_id=job,
        index=index,
        name="dose",
        metadata_ref=Ref("0" * 64, 1),
        pages=(),
        manifest_ref=None,
        stored_bytes=size,
    )


async def test_submissions_per_minute_count_refused_conversions_too(replicas: Replicas) -> None:
    client, _ = replicas[0]
    send = as_user(client)
    broken = {**submission(), "input_json": {"beam": 5}}
    for _ in range(QUOTAS.submissions_per_minute):
        assert (await send("POST", "/jobs/direct", json=broken)).status_code == 400
    answer = await send("POST", "/jobs/direct", json=submission())
    told = refused(answer, 429, "submissions_per_minute")
    assert told["used"] == QUOTAS.submissions_per_minute
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_what_fails_leaves_its_room(replicas: Replicas) -> None:
    client, _ = replicas[0]
    send = as_user(client)
    broken = {**submission(tasks=50), "input_json": {"beam": 5}}
    for _ in range(2):
        assert (await send("POST", "/jobs/direct", json=broken)).status_code == 400
    body = submission(primaries=1000, tasks=50)
    assert (await send("POST", "/jobs/direct", json=body)).status_code == 202


async def test_others_have_quotas_of_their_own(replicas: Replicas) -> None:
    client, _ = replicas[0]
    one, other = as_user(client), as_user(client)
    for _ in range(QUOTAS.active_jobs):
        await one("POST", "/jobs/direct", json=submission())
    refused(await one("POST", "/jobs/direct", json=submission()), 429, "active_jobs")
    assert (await other("POST", "/jobs/direct", json=submission())).status_code == 202
