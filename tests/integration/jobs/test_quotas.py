"""Quotas over HTTP: refusals, their messages, and no race that exceeds a quota."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import event

from kerma_common.contracts.events import results, runner
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import result_set_subject, task_subject
from kerma_common.errors import QuotaExceeded
from kerma_common.infra import Infra
from kerma_jobs.adapters.reservations import Reservations
from kerma_jobs.domain.quotas import Quotas
from kerma_jobs.main import build
from kerma_jobs.settings import JobsSettings
from kit.inputs.projects import submission
from kit.running.jobs_world import NamedUsers, appears, append, as_user, offer, succeed
from kit.running.services import prepare, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUOTAS = Quotas(active_jobs=3, waiting_tasks=50, stored_bytes=60_000, submissions_per_minute=8)
Replicas = tuple[tuple[httpx.AsyncClient, Infra], tuple[httpx.AsyncClient, Infra]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replicas]:
    """Two instances of the service with small quotas."""
    await prepare(nats_url)
    blobs = tmp_path_factory.mktemp("blobs")
    settings = JobsSettings(quotas={"default": QUOTAS})
    where: dict[str, Any] = {
        "nats_url": nats_url,
        "postgres_url": postgres_url,
        "blobs": blobs,
        "verifier": NamedUsers(),
    }

    def limited(http: Any, infra: Infra) -> Any:
        return build(http, infra, settings)

    async with (
        running("jobs", "kerma_jobs", limited, **where) as first,
        running("jobs", "kerma_jobs", limited, roles=frozenset({"api"}), **where) as second,
    ):
        await offer(first[1], "first", "geant4")
        assert await second[1].positions.wait("jobs", "RUNNER", 1, 10.0)
        yield first, second


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


async def test_a_job_that_appears_while_it_is_counted_is_counted(replicas: Replicas) -> None:
    """Its reservation stops counting at that moment."""
    _, infra = replicas[0]
    reservations = Reservations(infra.db)
    one, engine = Quotas(active_jobs=1), infra.db.sync_engine
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    seen: list[str] = []

    def appear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "count(" in statement and "reservation" in statement and not seen:
            seen.append(statement)
            with psycopg.connect(url) as other:
                other.execute(
                    "INSERT INTO jobs.job (job_id, owner, state) VALUES ('first', 'counted', 'PENDING')"
                )

    async with reservations.reserved("first", "counted", one, tasks=1, size=1):
        event.listen(engine, "before_cursor_execute", appear)
        try:
            with pytest.raises(QuotaExceeded):
                async with reservations.reserved("second", "counted", one, tasks=1, size=1):
                    pass
        finally:
            event.remove(engine, "before_cursor_execute", appear)
    assert seen


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
