"""Commands of the task aggregate, and the constant description of a task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kerma_common.contracts.refs import Ref


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker needs to run the task; constant."""

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
class Claim:
    """Lease the task to a worker, in this attempt, until a given time."""

    worker: str
    attempt: int
    until: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Start:
    """Record that the engine has started."""

    lease: int


@dataclass(frozen=True, slots=True)
class Succeed:
    """Record that the outputs are stored and readable; ``started`` if the engine ran."""

    lease: int
    output_ref: Ref
    log_ref: Ref | None
    primaries: int
    cpu_seconds: float
    started: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Record that the attempt failed; ``code`` decides whether it is retried.

    ``started`` says that the engine ran.
    """

    lease: int
    code: str
    message: str
    log_ref: Ref | None
    now: datetime
    started: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Give the task back because its worker shuts down; not a failure of the task."""

    lease: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Expire:
    """End a lease whose worker was last known to hold it until ``until``."""

    lease: int
    until: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the task."""


@dataclass(frozen=True, slots=True)
class ConfirmCancel:
    """Confirm that no process of the task is left on the worker."""

    lease: int


Report = Start | Succeed | Fail | Release | ConfirmCancel
"""Reports of a worker on its lease."""

Command = Claim | Report | Expire | Cancel
"""Every command of a task."""
