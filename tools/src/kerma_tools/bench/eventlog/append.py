"""Appends to the event log, compared with raw publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

import uvloop

from kerma_allinone.children import nats_server
from kerma_common.contracts import envelope
from kerma_common.contracts.envelope import Commit, Meta, make_commit
from kerma_common.contracts.events.runner import TaskStarted
from kerma_common.contracts.subjects import Subject, task_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.streams import apply_streams
from kerma_common.nats import connection
from kerma_tools.bench.figure import Figure

if TYPE_CHECKING:
    from nats.aio.client import Client

WRITERS = 64
ALONE = 1000
"""Commits of the single writer; it alternates with the raw publishes."""
EACH = 100
ROUNDS = 5
BAR = 0.5
ALONE_BAR, ALONE_PER_SECOND = 0.6, 1500.0

Write = Callable[[Subject, int, Commit, bytes], Awaitable[int]]


def append_throughput() -> Figure:
    """Compare appends per second of 64 writers, one aggregate each, with raw publishes.

    The raw publishes carry the same bodies on the same number of subjects to the same stream of the
    same server, which syncs every message to disk, and wait for the same acknowledgement.
    """
    return uvloop.run(_append_throughput())


def append_alone() -> tuple[Figure, ...]:
    """Compare one writer, append after append, with raw publishes one after another."""
    return uvloop.run(_append_alone())


async def _append_alone() -> tuple[Figure, ...]:
    with TemporaryDirectory(prefix="kerma-bench-") as folder:
        async with (
            nats_server(Path(folder) / "nats") as server,
            connection(server.url, name="bench") as nc,
        ):
            await apply_streams(nc)
            log, jetstream = JetStreamLog(nc), nc.jetstream()
            took = {"ours": 0.0, "raw": 0.0}
            for _ in range(ALONE // EACH):
                subject, commits = _commits(f"bench-{uuid4()}")
                other, bodies = _commits(f"bench-{uuid4()}")
                last = 0
                for (commit, _), (_, body) in zip(commits, bodies, strict=True):
                    began = perf_counter()
                    last = (await log.append(subject, last, commit)).seq
                    took["ours"] += (between := perf_counter()) - began
                    await jetstream.publish(str(other), body)
                    took["raw"] += perf_counter() - between
    ours, raw = ALONE / took["ours"], ALONE / took["raw"]
    name = "one writer, append after append"
    return (
        Figure(name, ours, "commits/s", "raw publishes, alternating", raw, ALONE_BAR),
        Figure(name, ours, "commits/s", "bar", ALONE_PER_SECOND, 1.0),
    )


async def _append_throughput() -> Figure:
    with TemporaryDirectory(prefix="kerma-bench-") as folder:
        async with (
            nats_server(Path(folder) / "nats") as server,
            connection(server.url, name="bench") as nc,
        ):
            await apply_streams(nc)
            log = JetStreamLog(nc)

            async def append(subject: Subject, expected: int, commit: Commit, _: bytes) -> int:
                return (await log.append(subject, expected, commit)).seq

            raw = _raw(nc)
            await _rate(raw)
            pairs = [(await _rate(append), await _rate(raw)) for _ in range(ROUNDS)]
    # the median ratio: both numbers of a pair were measured under the same load
    ours, theirs = sorted(pairs, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]
    return Figure(
        name="append throughput, 64 writers on different aggregates",
        value=ours,
        unit="commits/s",
        peer="raw publishes with the same durability",
        peer_value=theirs,
        bar=BAR,
    )


def _raw(nc: Client) -> Write:
    jetstream = nc.jetstream()

    async def publish(subject: Subject, _expected: int, _commit: Commit, body: bytes) -> int:
        return (await jetstream.publish(str(subject), body)).seq

    return publish


async def _rate(write: Write) -> float:
    """Return commits per second of all writers together."""
    work = [_commits(f"bench-{uuid4()}") for _ in range(WRITERS)]

    async def writer(subject: Subject, commits: list[tuple[Commit, bytes]]) -> None:
        last = 0
        for commit, body in commits:
            last = await write(subject, last, commit, body)

    started = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for subject, commits in work:
            tasks.create_task(writer(subject, commits))
    return WRITERS * EACH / (perf_counter() - started)


def _commits(job: str) -> tuple[Subject, list[tuple[Commit, bytes]]]:
    """Return an aggregate and its commits, made before the clock starts."""
    subject = task_subject(job, 0)
    meta = Meta("svc:bench", "StartTask", str(uuid4()), "runner")
    now = datetime.now(UTC)
    event = TaskStarted(job_id=job, index=0, lease=1, worker="bench-worker")
    commits = (
        make_commit(str(uuid4()), "task", subject.id, version, meta, (event,), now)
        for version in range(1, EACH + 1)
    )
    return subject, [(commit, envelope.encode(commit)) for commit in commits]
