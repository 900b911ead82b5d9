"""The state of a job, which its commands are decided on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

BATCH = "BATCH"
"""Platform of jobs that run on a cluster; those of DIRECT jobs run on workers."""


class Phase(StrEnum):
    """Phase of a job in its rules. Users see the same final states, and more states before."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    MERGING = "MERGING"
    CANCELING = "CANCELING"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    DELETED = "DELETED"


TERMINAL = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.CANCELED, Phase.DELETED})
"""Final phases, and the states that users see for them."""


@dataclass(frozen=True, slots=True)
class Settled:
    """How the tasks of the job ended."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0


@dataclass(frozen=True, slots=True)
class Arrays:
    """Where scripts on a cluster run the job, as far as they have told."""

    job_dir: str | None = None
    array_id: int | None = None
    collect_id: int | None = None


@dataclass(frozen=True, slots=True)
class KnownTask:
    """What was reported of a task on a cluster."""

    state: str = "PENDING"
    requested: int | None = None
    started: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Reported:
    """What scripts on a cluster have reported of a job. ``shown`` is the furthest state of the job.

    ``told`` is every place of the job that was ever reported, ``heard`` the number of events by which
    the job was heard of.
    """

    tasks: Mapping[int, KnownTask] = field(default_factory=lambda: MappingProxyType({}))
    counts: Settled = field(default_factory=Settled)
    shown: str = "PENDING"
    arrays: Arrays = field(default_factory=Arrays)
    told: frozenset[Arrays] = frozenset()
    logs: frozenset[str] = frozenset()
    heard: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """State of one job.

    ``collect``: a cancellation still merges the tasks that succeeded. ``fault`` is code and summary
    of the limit that the job exceeds, ``deletion`` who asked to delete the job once it ends. Update
    keys issued before ``keys_from`` are void. ``origin`` is the system that ran the job, if not this one; ``imported`` are the numbers of
    tasks that came before the job. ``reported`` is None for jobs that run on workers.
    """

    phase: Phase = Phase.NEW
    owner: str = ""
    n_tasks: int = 0
    allow_partial: bool = True
    collect: bool = False
    settled: Settled | None = None
    fault: tuple[str, str] | None = None
    keys_from: datetime | None = None
    deletion: str | None = None
    origin: str = ""
    imported: frozenset[int] = frozenset()
    primaries: int = 0
    reported: Reported | None = None
