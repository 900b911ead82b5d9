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
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import platform
from kerma_tools.bench.run import limit

SETTLE_SECONDS, WATCHED_SECONDS = 15.0, 30.0


def idle() -> Iterable[Figure]:
    """Measure ``kerma up`` with a worker and no job, beside a NATS server with one stream."""
    with platform() as found:
        time.sleep(SETTLE_SECONDS)
        parent = psutil.Process(found.running.pid)
        processes = [parent, *parent.children(recursive=True)]
        memory = sum(process.memory_full_info().pss for process in processes) / 2**20
        share, wakes = _watch(processes)
    bare = uvloop.run(_bare())
    yield limit(f"idle memory of kerma up, {len(processes)} processes (PSS)", memory, "MB", 280.0)
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
