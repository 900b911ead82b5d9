"""What the processes of a running Kerma use, by kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_KINDS = (
    ("nats-server", "NATS"),
    ("/bin/postgres", "PostgreSQL: server"),
    ("idle", "PostgreSQL: connections"),
    ("postgres:", "PostgreSQL: server"),
    ("kerma_runner.worker.confined", "nursery of the worker, with its forks"),
    ("kerma_runner.worker", "worker"),
    ("kerma_sandbox.forks", "nursery of the services, with its forks"),
    ("kerma_sandbox.guard", "guards and keepers"),
    ("bwrap", "guards and keepers"),
)
_SERVICES = "services and gateway"


@dataclass(frozen=True, slots=True)
class Use:
    """Memory in MB, processor time in seconds, and voluntary switches of processes together.

    ``pss`` is proportional: memory that processes share counts once. ``private`` is not shared,
    ``files`` is the part of ``pss`` that is code and other files.
    """

    pss: float
    private: float
    files: float
    seconds: float
    switches: int


def kinds(pid: int) -> dict[str, list[int]]:
    """Return the processes of a Kerma by kind. ``pid`` is that of the services."""
    found = {_SERVICES: [pid]}
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            kind = next((kind for sign, kind in _KINDS if sign in command), "other")
            found.setdefault(kind, []).append(process.pid)
    return found


def use(pids: Iterable[int]) -> Use:
    """Return what processes use now, or have used since they began; those that ended count not."""
    found = []
    for pid in pids:
        with suppress(OSError):
            found.append(_use(pid))
    return Use(
        sum(one.pss for one in found),
        sum(one.private for one in found),
        sum(one.files for one in found),
        sum(one.seconds for one in found),
        sum(one.switches for one in found),
    )


def lines(
    of: Mapping[str, list[int]], before: Mapping[str, Use], after: Mapping[str, Use], seconds: float
) -> Iterator[str]:
    """Return a table for people, most memory first."""
    yield f"{'':40} processes  PSS, MB  private  code, files  CPU, ms/s  wake-ups/s"
    for kind in sorted(of, key=lambda kind: -before[kind].pss):
        one, later = before[kind], after[kind]
        work = 1e3 * (later.seconds - one.seconds) / seconds
        wakes = (later.switches - one.switches) / seconds
        memory = f"{one.pss:7.1f}  {one.private:7.1f}  {one.files:11.1f}"
        yield f"{kind:40} {len(of[kind]):9}  {memory}  {work:9.2f}  {wakes:10.1f}"


def _use(pid: int) -> Use:
    """Read ``smaps_rollup``, ``schedstat`` and ``status`` (proc(5))."""
    own = Path(f"/proc/{pid}")
    rows = (line.split() for line in (own / "smaps_rollup").read_text().splitlines()[1:])
    held = {name: int(size) / 1024 for name, size, *_ in rows}
    seconds, switches = 0.0, 0
    for thread in (own / "task").iterdir():
        with suppress(OSError):
            seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
            status = (thread / "status").read_text()
            switches += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    private = held["Private_Clean:"] + held["Private_Dirty:"]
    return Use(held["Pss:"], private, held["Pss_File:"], seconds, switches)
