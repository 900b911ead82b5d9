"""Reports of scripts on clusters: ``POST /tasks`` and ``/tasks/bulk``, beside raw publishes.

The job is written straight to the log, because only users of Keycloak submit such jobs. A raw publish
is what a report would cost at least: one message that its server syncs to disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter, sleep
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
import orjson
from nats.js.api import StreamConfig

from kerma_client.errors import ApiError
from kerma_common.clock import system_clock
from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.events.jobs import BatchPlan, JobStarted, JobSubmitted
from kerma_common.contracts.ids import SEED_RULE, job_id
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import job_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kerma_common.security.update_keys import UpdateKeys, decoded_secret
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform, quantile
from kerma_tools.bench.whole.costs.cpu import cpu_by_part

BARS = {1: 500.0, 8: 1500.0, 32: 2000.0}
"""Updates per second by the number of writers."""
WARM, UPDATES, PUBLISHES = 50, 1600, 400
"""Updates and publishes of all writers together."""
OF_ONE_BODY, BODIES, BULK_WRITERS, BULK_BAR = 250, 60, 2, 10_000.0
SEEN, SEEN_P50, SEEN_P99 = 300, 12.0, 60.0
LOOK_SECONDS = 0.05
PRIMARIES = 10**9
REF = Ref("0" * 64, 1)


@dataclass(frozen=True, slots=True)
class Job:
    """A job on a cluster, and what its scripts put into every report."""

    job_id: str
    identity: Mapping[str, Any]

    def update(self, task: int, simulated: int) -> dict[str, Any]:
        """Return an entry on a task, as a watcher of YAPTIDE sends it."""
        said = {
            "task_state": "RUNNING",
            "start_time": "2026-01-02 03:04:05.678901",
            "simulated_primaries": simulated,
            "estimated_time": 3725,
        }
        return {"task_id": task, "update_dict": said}


def reports() -> Iterable[Figure]:
    """Measure single updates, bulk updates, and the time until an update is visible."""
    with platform(slots=0) as found:
        for writers, bar in BARS.items():
            yield from _single(found, writers, bar)
        yield _bulk(found)
        yield from _visible(found)


def _single(found: Platform, writers: int, bar: float) -> Iterator[Figure]:
    job = _job(found, writers)
    asyncio.run(_write(found, job, writers, max(WARM // writers, 2), 1))
    bare = asyncio.run(_publish(found, writers, PUBLISHES // writers))
    before = _cpu(found)
    rate = asyncio.run(_write(found, job, writers, UPDATES // writers, 1000))
    spent = 1e3 * (_cpu(found) - before) / (UPDATES // writers * writers)
    _require(found, job, 1000 + UPDATES // writers - 1)
    name = f"POST /tasks, {writers} writers"
    peer = f"bar; {spent:.2g} ms of processor time each; raw publishes: {bare:.0f}/s"
    yield Figure(f"{name}, updates per second", rate, "/s", peer, bar, 1.0)


def _bulk(found: Platform) -> Figure:
    job = _job(found, OF_ONE_BODY * BULK_WRITERS)

    async def write(number: int, times: int, first: int) -> None:
        tasks = range(number * OF_ONE_BODY + 1, (number + 1) * OF_ONE_BODY + 1)
        async with _connected(found) as post:
            for simulated in range(first, first + times):
                entries = [job.update(task, simulated) for task in tasks]
                await post("/tasks/bulk", {**job.identity, "tasks": entries})

    async def all_of(times: int, first: int) -> None:
        await asyncio.gather(*(write(number, times, first) for number in range(BULK_WRITERS)))

    asyncio.run(all_of(2, 1))
    before, began = _cpu(found), perf_counter()
    asyncio.run(all_of(BODIES // BULK_WRITERS, 1000))
    took = perf_counter() - began
    updates = BODIES // BULK_WRITERS * BULK_WRITERS * OF_ONE_BODY
    _require(found, job, 1000 + BODIES // BULK_WRITERS - 1)
    spent = 1e6 * (_cpu(found) - before) / updates
    peer = f"bar; {spent:.2g} µs of processor time each"
    name = f"POST /tasks/bulk of {OF_ONE_BODY}, {BULK_WRITERS} writers, updates per second"
    return Figure(name, updates / took, "/s", peer, BULK_BAR, 1.0)


def _visible(found: Platform) -> Iterator[Figure]:
    job = _job(found, 1)
    times = asyncio.run(_seen(found, job))
    for share, bar in ((0.5, SEEN_P50), (0.99, SEEN_P99)):
        name = f"update sent to visible in a status, p{share * 100:g}"
        late = quantile(times, share)
        yield Figure(name, late, "ms", "bar", bar, 1.0, lower_is_better=True)


async def _write(found: Platform, job: Job, writers: int, times: int, first: int) -> float:
    """Let each writer report on a task of its own; return updates per second."""

    async def write(task: int) -> None:
        async with _connected(found) as post:
            for simulated in range(first, first + times):
                await post("/tasks", {**job.identity, **job.update(task, simulated)})

    began = perf_counter()
    await asyncio.gather(*(write(task) for task in range(1, writers + 1)))
    return writers * times / (perf_counter() - began)


async def _publish(found: Platform, writers: int, times: int) -> float:
    """Return raw publishes per second of as many writers, to a stream of the same server."""
    name = f"BENCH-{uuid4().hex[:8]}"
    async with connection(found.nats_url, name="admin") as client:
        jetstream = client.jetstream()
        await jetstream.add_stream(StreamConfig(name=name, subjects=[f"{name}.>"]))

        async def write(number: int) -> None:
            for _ in range(times):
                await jetstream.publish(f"{name}.{number}", b"x" * 400)

        began = perf_counter()
        await asyncio.gather(*map(write, range(writers)))
        took = perf_counter() - began
        await jetstream.delete_stream(name)
    return writers * times / took


async def _seen(found: Platform, job: Job) -> list[float]:
    """Return the milliseconds from sending each update until a status shows it."""
    times = []
    async with _connected(found) as post, _connected(found) as get:
        for simulated in range(1, SEEN + 1):
            began = perf_counter()
            await post("/tasks", {**job.identity, **job.update(1, simulated)})
            while True:
                shown = await get(f"/jobs?job_id={job.job_id}", None)
                if shown["job_tasks_status"][0]["simulated_primaries"] >= simulated:
                    break
            times.append(1e3 * (perf_counter() - began))
    return times


@asynccontextmanager
async def _connected(found: Platform) -> AsyncIterator[Any]:
    """Yield a function that sends a request over one connection and returns the answer."""
    address = urlsplit(found.running.url)
    token = found.client.cookies["access_token"]
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)

    async def send(path: str, body: Mapping[str, Any] | None) -> Any:
        content = b"" if body is None else orjson.dumps(body)
        lines = (
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
            f"Host: {address.netloc}",
            f"Cookie: access_token={token}" if body is None else "User-Agent: bench",
            f"Content-Length: {len(content)}",
        )
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        answer = await reader.readexactly(int(length))
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(answer.decode())
        return orjson.loads(answer)

    try:
        yield send
    finally:
        writer.close()


def _cpu(found: Platform) -> float:
    return sum(cpu_by_part(found.process.pid).values())


def _require(found: Platform, job: Job, simulated: int) -> None:
    """Raise RuntimeError unless the last update of every task is visible."""
    answer = found.client.status(job.job_id)
    shown = [task.simulated for task in answer.tasks]
    if set(shown) != {simulated}:
        raise RuntimeError(f"updates were lost: {shown}")


def _job(found: Platform, tasks: int) -> Job:
    """Write a job on a cluster to the log; return once the user sees it."""
    token = found.client.cookies["access_token"]
    owner = jwt.decode(token, options={"verify_signature": False})["sub"]
    job = job_id(datetime.now(UTC), uuid4(), "BATCH")
    number = asyncio.run(_append(found.nats_url, job, owner, tasks))
    secret = (found.data / "update-keys-secret").read_text()
    keys = UpdateKeys((decoded_secret(secret),), timedelta(days=1), system_clock)
    while True:
        try:
            found.client.status(job)
            break
        except ApiError:
            sleep(LOOK_SECONDS)
    return Job(job, {"simulation_id": number, "update_key": keys.issue(job, number)[0]})


async def _append(url: str, job: str, owner: str, tasks: int) -> int:
    submitted = JobSubmitted(
        job_id=job,
        owner=owner,
        title="bench",
        platform="BATCH",
        sim_type="shieldhit",
        engine="shieldhit",
        engine_version="",
        input_kind="EDITOR",
        input_ref=REF,
        project_ref=None,
        primaries=PRIMARIES,
        n_tasks=tasks,
        max_attempts=3,
        allow_partial=True,
        batch=BatchPlan("0" * 16, "bench", REF),
    )
    started = JobStarted(
        job_id=job,
        owner=owner,
        engine="shieldhit",
        input_ref=REF,
        primaries=PRIMARIES,
        n_tasks=tasks,
        max_attempts=3,
        placement="batch",
        seed_rule=SEED_RULE,
    )
    async with connection(url, name="bench") as client:
        meta = Meta("svc:bench", "SubmitJob", str(uuid4()), "jobs")
        events = (submitted, started)
        commit = make_commit(str(uuid4()), "job", job, 1, meta, events, datetime.now(UTC))
        return (await JetStreamLog(client).append(job_subject(job), 0, commit)).seq
