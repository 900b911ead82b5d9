"""The effect of hostile neighbours on another user's status and on the service's memory.

The neighbours run in a separate process (`neighbours`), the whole Kerma in another, and the victim
asks for its job again and again from here.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.platform import Platform, platform, quantile
from kerma_tools.bench.run import limit

ASKED, WARM = 600, 100
PAUSE_SECONDS = 0.003
SAMPLE_SECONDS = 0.05
MOST_SLOWER, MOST_MEMORY = 2.0, 150.0  # times, MB
HALF_OPEN, LOGINS, CONVERSIONS, BODIES, JOBS = 6000, 32, 3, 4, 10


def walls() -> Iterable[Figure]:
    """Measure under others' logins, half-open connections, slow conversions, large bodies, wide jobs."""
    with platform(slots=0) as found:
        body = submit_body(PROJECT, tasks=8, primaries=1000, engine="geant4")
        job = found.client.submit({**body, "wait_for_engine": True})
        _latencies(found, job, WARM)
        yield from _beside(found, job, f"{LOGINS} logins at once", "logins", LOGINS)
        yield from _beside(found, job, f"{HALF_OPEN} half-open connections", "half-open", HALF_OPEN)
        name = f"{CONVERSIONS} hostile conversions"
        yield from _beside(found, job, name, "conversions", CONVERSIONS)
        name = f"{BODIES} users' bodies of a million values"
        yield from _beside(found, job, name, "bodies", BODIES)
        # last, because its tasks stay queued long after the clients are gone
        yield from _beside(found, job, f"{JOBS} jobs of 10 000 tasks", "tasks", JOBS)


def _beside(found: Platform, job: str, name: str, attack: str, count: int) -> Iterable[Figure]:
    idle = quantile(_latencies(found, job, ASKED), 0.99)
    memory = psutil.Process(found.running.pid).memory_info
    before = memory().rss
    with attacked(attack, found.running.url, count), _highest(memory) as highest:
        beside = quantile(_latencies(found, job, ASKED), 0.99)
    status = f"status of another user, {name}, p99"
    yield Figure(status, beside, "ms", "idle", idle, MOST_SLOWER, lower_is_better=True)
    grown = max(0.0, (highest[0] - before) / 1e6)
    yield limit(f"memory of the service, {name}", grown, "MB", MOST_MEMORY)


def _latencies(found: Platform, job: str, times: int) -> list[float]:
    """Return the milliseconds of each request for the status."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        found.client.status(job)
        taken.append(1e3 * (time.perf_counter() - began))
        time.sleep(PAUSE_SECONDS)
    return taken


@contextmanager
def attacked(attack: str, url: str, count: int) -> Iterator[None]:
    """Run hostile clients, from when all of them are at work to the end of the block."""
    module = "kerma_tools.bench.whole.neighbours.attacks"
    # they stand for other machines, so their work should not take this one's processor time
    command = ["nice", "-n", "19", sys.executable, "-m", module, attack, url, str(count)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        if not child.stdout.readline():
            raise RuntimeError("the neighbours did not start")
        yield
    finally:
        child.kill()
        child.communicate()


@contextmanager
def _highest(memory: Callable[[], Any]) -> Iterator[list[int]]:
    """Yield the largest resident size in bytes while the block runs, as the only element."""
    highest, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            highest[0] = max(highest[0], memory().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield highest
    finally:
        over.set()
        thread.join()
