"""What a Kerma without work costs: processor time, wake-ups and memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import nats
import uvloop

from kerma_allinone.children import nats_server
from kerma_client.terminal import warn
from kerma_runner.worker.confined.client import REST_SECONDS
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import platform
from kerma_tools.bench.run import limit
from kerma_tools.bench.whole.costs.kinds import Use, kinds, lines, use

WATCHED_SECONDS = 30.0
SETTLE_SECONDS = REST_SECONDS + 15.0
"""Until everything that ends without work has ended: connections after 15 to 30 s, the worker's nursery
after a minute."""


def idle() -> Iterable[Figure]:
    """Measure ``kerma up`` with a worker and no job, beside a NATS server with one stream."""
    with platform() as found:
        time.sleep(SETTLE_SECONDS)
        of = kinds(found.running.pid)
        before = _used(of)
        time.sleep(WATCHED_SECONDS)
        after = _used(of)
    bare = uvloop.run(_bare())
    for line in lines(of, before, after, WATCHED_SECONDS):
        warn(line)
    name = f"idle memory of kerma up, {sum(map(len, of.values()))} processes (PSS)"
    yield limit(name, sum(part.pss for part in before.values()), "MB", 280.0)
    share = sum(after[kind].seconds - before[kind].seconds for kind in of) / WATCHED_SECONDS
    yield limit("idle processor time, all processes", 100 * share, "% of a core", 1.0)
    wakes = sum(after[kind].switches - before[kind].switches for kind in of) / WATCHED_SECONDS
    peer = f"bar; a NATS server with one stream and no client: {bare:.0f}/s"
    name = "idle wake-ups (voluntary switches), all processes"
    yield Figure(name, wakes, "/s", peer, 60.0, 1.0, lower_is_better=True)


def _used(of: Mapping[str, list[int]]) -> dict[str, Use]:
    return {kind: use(pids) for kind, pids in of.items()}


async def _bare() -> float:
    """Return the switches per second of a NATS server that keeps one stream in a file."""
    with tempfile.TemporaryDirectory(prefix="kerma-bench-") as folder:
        async with nats_server(Path(folder) / "nats") as server:
            client = await nats.connect(server.url)
            await client.jetstream().add_stream(name="ONE", subjects=["one"])
            await client.close()
            watched = [server.child.pid]
            before = use(watched).switches
            await asyncio.sleep(WATCHED_SECONDS)
            return (use(watched).switches - before) / WATCHED_SECONDS
