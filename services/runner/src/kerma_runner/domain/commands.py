"""What can be asked of a task, and what a task is from the start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kerma_common.contracts.refs import Ref


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker must know to run the task; never changes."""

    job_id: str
    index: int
    owner: str
    resource_class: str
    engine: str
    input_ref: Ref
    primaries: int
    seed: int
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Queue:
    """Let the task exist and wait."""

    spec: Spec


@dataclass(frozen=True, slots=True)
class Claim:
    """Give the task, in this attempt, to a worker until a moment."""

    worker: str
    attempt: int
    until: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Start:
    """The engine was started."""

    lease: int


@dataclass(frozen=True, slots=True)
class Succeed:
    """The outputs are stored and were readable."""

    lease: int
    output_ref: Ref
    log_ref: Ref | None
    primaries: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed; ``code`` decides whether another makes sense."""

    lease: int
    code: str
    message: str
    log_ref: Ref | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Release:
    """The worker gives the task back untouched: it shuts down."""

    lease: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Expire:
    """The worker was last known to hold the lease until ``until``."""

    lease: int
    until: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants the task any more."""


@dataclass(frozen=True, slots=True)
class ConfirmCancel:
    """No process of the task is left on the worker."""

    lease: int


Report = Start | Succeed | Fail | Release | ConfirmCancel
"""What a worker says of its lease."""

Command = Queue | Claim | Report | Expire | Cancel
"""Everything that can be asked of a task."""
