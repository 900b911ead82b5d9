"""What a confined process may see and use."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Limit(StrEnum):
    """The limits, named as the fields of ``Limits``."""

    MEMORY = "memory"
    CPU_SECONDS = "cpu_seconds"
    PROCESSES = "processes"
    THREADS = "threads"
    FILE_SIZE = "file_size"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a confined process and all it starts; None for no limit. Sizes in bytes."""

    memory: int | None = 4 << 30
    """Resident memory of all processes together."""
    address_space: int | None = None
    """Address space of each process."""
    cpu_seconds: float | None = None
    """Processor time of all processes together."""
    processes: int | None = 64
    threads: int | None = 512
    """Threads of all processes together; each takes one of the machine's process ids."""
    open_files: int = 1024
    """Open files of each process."""
    file_size: int | None = 8 << 30
    """Largest file."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """A process that may read and write ``work`` (an absolute path) and read ``readable``.

    The system's libraries, Kerma's Python interpreter and its packages are readable as well.
    ``confines`` is for a process that restricts its children further, by Landlock and a filter.
    ``nice`` counts for its session too, where the kernel shares processor time among sessions.
    """

    work: Path
    readable: tuple[Path, ...] = ()
    network: bool = False
    confines: bool = False
    limits: Limits = field(default_factory=Limits)
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended.

    ``code`` is its exit code, or minus the signal that ended it; bubblewrap tells the signal N and the
    exit code 128 + N in the same way, so there both are minus N. ``exceeded`` is the limit that
    ended it. ``left`` counts processes that could not be killed in time, 0 unless the machine is
    faulty. ``overhead_seconds`` is the keeper's processor time.
    """

    code: int
    cpu_seconds: float
    exceeded: Limit | None = None
    left: int = 0
    overhead_seconds: float = 0.0

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Exit:
        """Return the exit in the guard's message about a process that is gone."""
        exceeded = message.get("exceeded")
        return cls(
            message["code"],
            message["cpu_seconds"],
            Limit(exceeded) if exceeded else None,
            message.get("left", 0),
            message.get("overhead_seconds", 0.0),
        )
