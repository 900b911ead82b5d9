"""CPU time of a running Kerma, by part, ended children included."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

import psutil

LOOK_SECONDS = 0.25
CALM_LOOKS = 3


def cpu_by_part(pid: int) -> dict[str, float]:
    """Return CPU seconds so far of the process and all below it, by part.

    An ended process counts for the one that waited for it, such as a closed connection for the
    PostgreSQL server. Engines and their keepers count for none: the kernel reaps the keepers.
    """
    parent = psutil.Process(pid)
    found: defaultdict[str, float] = defaultdict(float)
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            ended = times.children_user + times.children_system
            part = "services" if process.pid == pid else _part(process)
            found[part] += times.user + times.system
            # children of the service process that ended are restarted parts
            found["restarted" if process.pid == pid else part] += ended
    return dict(found)


def _part(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    for sign, part in (
        ("nats-server", "nats"),
        ("postgres", "postgres"),
        ("kerma_runner.worker", "worker"),
        ("kerma_sandbox.forks", "forks"),
        ("kerma_sandbox", "keeper"),
    ):
        if sign in command:
            return part
    return "other"


def since(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the CPU seconds between two measurements, by part."""
    return {part: after[part] - before.get(part, 0.0) for part in sorted(after)}


def wait_until_calm(pid: int, idle: float) -> None:
    """Wait until the whole uses little more than ``idle``, its share of a core when it has no work."""
    calm, used = 0, sum(cpu_by_part(pid).values())
    while calm < CALM_LOOKS:
        time.sleep(LOOK_SECONDS)
        now = sum(cpu_by_part(pid).values())
        calm = calm + 1 if now - used <= LOOK_SECONDS * (2 * idle + 0.04) else 0
        used = now


def idle_share(pid: int, seconds: float = 3.0) -> float:
    """Return the share of a core that the whole uses during the next ``seconds``."""
    before = sum(cpu_by_part(pid).values())
    time.sleep(seconds)
    return (sum(cpu_by_part(pid).values()) - before) / seconds
