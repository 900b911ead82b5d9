"""Latencies of the requests that clients send most, one client, durable log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.ids import job_id
from kerma_common.contracts.jobs import JobSubmitted
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import job_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform, quantile, timed
from kerma_tools.bench.run import limit

# the bench submits hundreds of jobs within seconds, more than quotas allow
UNLIMITED = {
    "KERMA_JOBS_QUOTAS": '{"default": {"active_jobs": 100000, "submissions_per_minute": 100000}}'
}
WARM, SUBMITTED, READ, LISTED = 20, 300, 300, 10_000
AT_ONCE = 256


def request_latencies() -> Iterable[Figure]:
    """Measure submit and see, status of wide jobs, and the list of a user with many jobs."""
    with platform(slots=0, settings=UNLIMITED) as found:
        yield from _submissions(found)
        for tasks, bar in ((100, 4.0), (1000, 12.0)):
            yield _status(found, tasks, bar)
    with platform(slots=0) as found:
        yield _listing(found)


def _submissions(found: Platform) -> Iterable[Figure]:
    body = submit_body(PROJECT, tasks=1, primaries=1000, engine="geant4")
    body["wait_for_engine"] = True

    def submit_and_see() -> None:
        found.client.status(found.client.submit(body))

    timed(submit_and_see, WARM)
    times = timed(lambda: found.client.submit(body), SUBMITTED)
    name = "POST job to 202 with the job visible to GET"
    yield limit(f"{name}, p50", quantile(times, 0.5), "ms", 25.0)
    yield limit(f"{name}, p99", quantile(times, 0.99), "ms", 80.0)


def _status(found: Platform, tasks: int, bar: float) -> Figure:
    body = submit_body(PROJECT, tasks=tasks, primaries=max(tasks, 1000), engine="geant4")
    body["wait_for_engine"] = True
    job = found.client.submit(body)
    timed(lambda: found.client.status(job), WARM)
    times = timed(lambda: found.client.status(job), READ)
    peer = {100: "limit (the peer: 8)", 1000: "limit (the peer: 26)"}[tasks]
    name = f"status of a job of {tasks} tasks, p50"
    return limit(name, quantile(times, 0.5), "ms", bar, peer)


def _listing(found: Platform) -> Figure:
    token = found.client.cookies["access_token"]
    owner = jwt.decode(token, options={"verify_signature": False})["sub"]
    asyncio.run(_fill(found.nats_url, owner))
    while found.client.jobs(size=1)["simulations_count"] < LISTED:
        pass
    timed(lambda: found.client.jobs(size=10), WARM)
    times = timed(lambda: found.client.jobs(size=10), READ)
    name = f"list of a user with {LISTED} jobs, p50"
    return limit(name, quantile(times, 0.5), "ms", 5.0, "limit (the peer: 8-10, growing)")


async def _fill(url: str, owner: str) -> None:
    """Append submissions straight to the log: the bench is about reading them."""
    slots = asyncio.Semaphore(AT_ONCE)
    async with connection(url, name="bench") as client:
        log = JetStreamLog(client)

        async def add(number: int) -> None:
            now = datetime.now(UTC) - timedelta(seconds=LISTED - number)
            job = job_id(now, uuid4(), "DIRECT")
            subject = job_subject(job)
            meta = Meta("svc:bench", "SubmitJob", str(uuid4()), "jobs")
            event = _submitted(job, owner)
            commit = make_commit(str(uuid4()), "job", job, 1, meta, (event,), now)
            async with slots:
                await log.append(subject, 0, commit)

        await asyncio.gather(*map(add, range(LISTED)))


def _submitted(job: str, owner: str) -> JobSubmitted:
    return JobSubmitted(
        job_id=job,
        owner=owner,
        title="bench",
        platform="DIRECT",
        sim_type="geant4",
        engine="geant4",
        engine_version="",
        input_kind="EDITOR",
        input_ref=Ref("0" * 64, 1),
        project_ref=None,
        primaries=1000,
        n_tasks=1,
        max_attempts=3,
        allow_partial=True,
    )
