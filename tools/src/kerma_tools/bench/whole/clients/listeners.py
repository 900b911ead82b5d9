"""Live updates: a thousand streams of one process, what they take, and how soon they are told."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_common.http.server.connections import affordable
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform, quantile
from kerma_tools.bench.run import limit

LISTENERS, EVENTS = 1000, 20
AT_ONCE = 50
"""Streams that are opened at a time."""
REST_SECONDS = 1.0
LAST_SECONDS = 30.0
SETTINGS = {
    "KERMA_JOBS_STREAMS": str(LISTENERS),
    "KERMA_JOBS_STREAMS_PER_USER": str(LISTENERS),
    "KERMA_HTTP_CONNECTIONS": str(2 * LISTENERS),
    "KERMA_HTTP_CONNECTIONS_PER_ADDRESS": str(2 * LISTENERS),
}
_ENDED = re.compile(rb'data: \{"id":"([^"]+)","state":"CANCELED"')


@dataclass(slots=True)
class _Told:
    """When cancellations were sent, and the milliseconds until each listener read of it, once."""

    sent: dict[str, float] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    all: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, job: str) -> None:
        self.times.append(1e3 * (time.perf_counter() - self.sent[job]))
        if len(self.times) == LISTENERS * EVENTS:
            self.all.set()


def live_updates() -> Iterable[Figure]:
    """Measure a process with a thousand listeners of one user, who all hear of each cancellation."""
    affordable(2 * LISTENERS)
    with platform(slots=0, settings=SETTINGS) as found:
        memory, times = asyncio.run(_measure(found))
    name = f"{LISTENERS} listeners"
    yield limit(f"{name}, memory that they take", memory / 1e6, "MB", 150.0)
    yield limit(f"{name}, cancellation sent to event read, p50", quantile(times, 0.5), "ms", 300.0)
    yield limit(f"{name}, cancellation sent to event read, p99", quantile(times, 0.99), "ms", 300.0)


async def _measure(found: Platform) -> tuple[int, list[float]]:
    """Return the bytes that the listeners take, and the milliseconds of each event at each."""
    body = {
        **submit_body(PROJECT, tasks=1, primaries=100, engine="geant4"),
        "wait_for_engine": True,
    }
    jobs = [await asyncio.to_thread(found.client.submit, body) for _ in range(EVENTS)]
    process = psutil.Process(found.running.pid)
    before = process.memory_info().rss
    told = _Told()
    gate, ready = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        listeners = [group.create_task(_listen(found, gate, ready, told)) for _ in range(LISTENERS)]
        for _ in range(LISTENERS):
            await ready.acquire()
        await asyncio.sleep(REST_SECONDS)
        taken = process.memory_info().rss - before
        for job in jobs:
            told.sent[job] = time.perf_counter()
            await asyncio.to_thread(found.client.cancel, job)
            await asyncio.sleep(REST_SECONDS)
        async with asyncio.timeout(LAST_SECONDS):
            await told.all.wait()
        for listener in listeners:
            listener.cancel()
    return taken, told.times


async def _listen(
    found: Platform,
    gate: asyncio.Semaphore,
    ready: asyncio.Semaphore,
    told: _Told,
) -> None:
    address = urlsplit(found.running.url)
    token = found.client.cookies["access_token"]
    async with gate:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"GET /v1/jobs/events HTTP/1.1\r\nHost: {address.netloc}\r\n"
        writer.write(f"{head}Cookie: access_token={token}\r\n\r\n".encode())
        answer = await reader.readuntil(b"event: ready")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.partition(b"\r\n")[0].decode())
    ready.release()
    heard: set[bytes] = set()
    try:
        while line := await reader.readline():
            # the job is told of again when its tasks have stopped
            if (ended := _ENDED.match(line)) and ended[1] not in heard:
                heard.add(ended[1])
                told.hear(ended[1].decode())
    finally:
        writer.close()
