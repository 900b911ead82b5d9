"""Who holds the memory of a running Kerma: processes by kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
class Held:
    """Memory of processes, MB: proportional (PSS), private, and that of code and files in PSS."""

    kind: str
    processes: int
    pss: float
    private: float
    files: float


def held(pid: int) -> list[Held]:
    """Return the memory of a Kerma, most first. ``pid`` is that of the services."""
    parent = psutil.Process(pid)
    found: dict[str, list[dict[str, float]]] = {}
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.Error, OSError):
            kind = _SERVICES if process.pid == pid else _kind(process)
            found.setdefault(kind, []).append(_memory(process.pid))
    rows = [Held(kind, len(each), *_sums(each)) for kind, each in found.items()]
    return sorted(rows, key=lambda row: -row.pss)


def lines(rows: Iterable[Held]) -> Iterator[str]:
    """Return a table for people."""
    yield f"{'held by':40} processes  PSS, MB  private, MB  code and files, MB"
    for row in rows:
        numbers = f"{row.pss:7.1f}  {row.private:11.1f}  {row.files:18.1f}"
        yield f"{row.kind:40} {row.processes:9}  {numbers}"


def _sums(each: list[dict[str, float]]) -> tuple[float, float, float]:
    def total(*names: str) -> float:
        return sum(memory[name] for memory in each for name in names)

    return total("Pss"), total("Private_Clean", "Private_Dirty"), total("Pss_File")


def _kind(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((kind for sign, kind in _KINDS if sign in command), "other")


def _memory(pid: int) -> dict[str, float]:
    """Return the fields of ``smaps_rollup`` (proc(5)), in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(size) / 1024 for name, size, *_ in fields}
