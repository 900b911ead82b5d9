"""What a Kerma without work costs: processor time, wake-ups and memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import nats
import psutil
import uvloop

from kerma_allinone.children import nats_server
from kerma_client.terminal import warn
from kerma_runner.worker.confined.client import REST_SECONDS
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import platform
from kerma_tools.bench.run import limit
from kerma_tools.bench.whole.memory import held, lines

WATCHED_SECONDS = 30.0
SETTLE_SECONDS = REST_SECONDS + 15.0
"""Until everything that ends without work has ended: connections after 15 to 30 s, the worker's nursery
after a minute."""


def idle() -> Iterable[Figure]:
    """Measure ``kerma up`` with a worker and no job, beside a NATS server with one stream."""
    with platform() as found:
        time.sleep(SETTLE_SECONDS)
        parent = psutil.Process(found.running.pid)
        processes = [parent, *parent.children(recursive=True)]
        memory = held(found.running.pid)
        share, wakes = _watch(processes)
    bare = uvloop.run(_bare())
    for line in lines(memory):
        warn(line)
    name = f"idle memory of kerma up, {sum(part.processes for part in memory)} processes (PSS)"
    yield limit(name, sum(part.pss for part in memory), "MB", 280.0)
    yield limit("idle processor time, all processes", 100 * share, "% of a core", 1.0)
    peer = f"bar; a NATS server with one stream and no client: {bare:.0f}/s"
    name = "idle wake-ups (voluntary switches), all processes"
    yield Figure(name, wakes, "/s", peer, 60.0, 1.0, lower_is_better=True)


def _watch(processes: list[psutil.Process]) -> tuple[float, float]:
    """Return the share of a core that processes use, and their voluntary switches per second."""
    seconds, switches = _used(processes)
    time.sleep(WATCHED_SECONDS)
    later_seconds, later_switches = _used(processes)
    share = (later_seconds - seconds) / WATCHED_SECONDS
    return share, (later_switches - switches) / WATCHED_SECONDS


def _used(processes: list[psutil.Process]) -> tuple[float, int]:
    seconds, switches = 0.0, 0
    for process in processes:
        with suppress(psutil.Error, OSError):
            for thread in Path(f"/proc/{process.pid}/task").iterdir():
                seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
                status = (thread / "status").read_text()
                switches += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return seconds, switches


async def _bare() -> float:
    """Return the switches per second of a NATS server that keeps one stream in a file."""
    with tempfile.TemporaryDirectory(prefix="kerma-bench-") as folder:
        async with nats_server(Path(folder) / "nats") as server:
            client = await nats.connect(server.url)
            await client.jetstream().add_stream(name="ONE", subjects=["one"])
            await client.close()
            watched = [psutil.Process(server.child.pid)]
            return (await asyncio.to_thread(_watch, watched))[1]
