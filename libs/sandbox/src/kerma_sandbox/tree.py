"""Processes below another one, from ``/proc`` (proc(5))."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_ROUNDS = 64


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of processes together: bytes of private memory, seconds of processor time."""

    memory: int
    cpu_seconds: float
    processes: int
    threads: int


def descendants(root: int) -> list[int]:
    """Return all processes below ``root``, parents before their children."""
    found: list[int] = []
    pending = [root]
    while pending:
        pending = [child for pid in pending for child in children(pid)]
        found += pending
    return found


def usage(pids: list[int]) -> Usage:
    """Return the usage of living processes, with the processor time of children they waited for."""
    memory, ticks, living, threads = 0, 0, 0, 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            used, running = _ticks_and_threads(pid)
            ticks += used
            memory += _memory(pid)
            living += 1
            threads += running
    return Usage(memory, ticks / _TICKS, living, threads)


def kill_below(root: int) -> None:
    """Kill all processes below ``root``. They are stopped first, so that none forks meanwhile."""
    stopped: dict[int, None] = {}
    for _ in range(_STOP_ROUNDS):
        fresh = [pid for pid in descendants(root) if pid not in stopped]
        if not fresh:
            break
        for pid in fresh:
            _send(pid, signal.SIGSTOP)
            stopped[pid] = None
    for pid in stopped:
        _send(pid, signal.SIGKILL)


def signal_all(pids: list[int], signum: int) -> None:
    """Signal processes; those that have ended meanwhile are skipped."""
    for pid in pids:
        _send(pid, signum)


def _send(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


def children(pid: int) -> list[int]:
    """Return the children of all its threads; none for a process that has ended."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - many times a second
            with suppress(OSError):
                found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _ticks_and_threads(pid: int) -> tuple[int, int]:
    # the program's name, in parentheses, may contain spaces and parentheses
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])), int(fields[17])


def _memory(pid: int) -> int:
    """Return anonymous and shared memory in bytes; pages of files are not the process's own."""
    kibibytes = 0
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith((b"RssAnon:", b"RssShmem:")):
            kibibytes += int(line.split()[1])
    return kibibytes << 10


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
