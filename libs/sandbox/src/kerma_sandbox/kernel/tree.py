"""Processes below another one, from ``/proc`` (proc(5))."""

from __future__ import annotations

import os
import signal
from collections.abc import Container
from contextlib import suppress

_TICKS = os.sysconf("SC_CLK_TCK")
_KILL_ROUNDS = 4096
_OWN_MEMORY = (b"RssAnon:", b"RssShmem:", b"VmPTE:", b"VmSwap:", b"HugetlbPages:")


class Usage:
    """The usage of processes together: bytes of private memory, seconds of processor time."""

    __slots__ = ("cpu_seconds", "memory", "processes", "threads")

    def __init__(self, memory: int, cpu_seconds: float, processes: int, threads: int) -> None:
        self.memory = memory
        self.cpu_seconds = cpu_seconds
        self.processes = processes
        self.threads = threads


def descendants(root: int, most: int | None = None) -> list[int]:
    """Return all processes below ``root``, parents before their children.

    With ``most``, stop as soon as there are more: a fork bomb grows faster than it can be listed.
    """
    found: list[int] = []
    pending = [root]
    while pending:
        generation, pending = pending, []
        for pid in generation:
            below = children(pid)
            found += below
            pending += below
            if most is not None and len(found) > most:
                return found
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


def kill_below(root: int, spare: Container[int] = ()) -> None:
    """Kill all processes below ``root``, except those children of it that ``spare`` contains.

    A process with a pending SIGKILL completes no fork, so children read after the kill are all
    there will be. Nothing is waited for in between: where the kernel limits the number of
    processes, the dead ones count too, and a bomb runs out of them.
    """
    killed: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        before = len(killed)
        pending = [pid for pid in children(root) if pid not in spare]
        while pending:
            pid = pending.pop()
            if pid not in killed:
                _send(pid, signal.SIGKILL)
                killed.add(pid)
            pending += children(pid)
        # children of a dead process become children of the root, so look again
        if len(killed) == before:
            return


def threads_of_user(uid: int) -> int:
    """Return how many threads a user has, as RLIMIT_NPROC counts them."""
    found = 0
    with os.scandir("/proc") as entries:
        for entry in entries:
            with suppress(OSError, ValueError, IndexError):
                if entry.name.isdecimal() and entry.stat().st_uid == uid:
                    found += _ticks_and_threads(int(entry.name))[1]
    return found


def hurry(pid: int = 0) -> None:
    """Run this process, or ``pid``, before ordinary ones, where that is allowed; not its children."""
    with suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def go_first() -> None:
    """Let the kernel end this process and its children first when the machine has no memory left."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, b"1000")
    finally:
        os.close(descriptor)


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
    """Return anonymous and shared memory in bytes, in RAM or swapped, and the page tables.

    Pages of files are not the process's own.
    """
    kibibytes = 0
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(_OWN_MEMORY):
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
