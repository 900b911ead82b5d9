"""Events of the runner service: tasks, their leases, and workers."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime

from kerma_common.contracts.refs import Ref
from kerma_common.contracts.registry import event


@event("runner", "task", public=True)
class TaskQueued:
    """A task waits for a worker."""

    job_id: str
    index: int
    owner: str
    resource_class: str
    engine: str
    input_ref: Ref
    primaries: int
    seed: int
    max_attempts: int
    attempt: int


@event("runner", "task")
class TaskLeased:
    """A worker holds the task until a moment, under this fencing number."""

    job_id: str
    index: int
    lease: int
    worker: str
    until: datetime


@event("runner", "task", public=True)
class TaskStarted:
    """The engine of the task runs."""

    job_id: str
    index: int
    lease: int
    worker: str


@event("runner", "task")
class TaskLeaseExpired:
    """The worker that held this lease was not heard of in time, or is known to be gone."""

    job_id: str
    index: int
    lease: int


@event("runner", "task", public=True)
class TaskRequeued:
    """The task waits again, not to be leased before a moment."""

    job_id: str
    index: int
    reason: str
    attempt: int
    not_before: datetime


@event("runner", "task", public=True)
class TaskSucceeded:
    """The task's results are stored and were readable."""

    job_id: str
    index: int
    lease: int
    attempt: int
    output_ref: Ref
    log_ref: Ref | None
    primaries: int
    cpu_seconds: float


@event("runner", "task", public=True)
class TaskFailed:
    """An attempt failed; ``final`` when there will be no other."""

    job_id: str
    index: int
    lease: int
    attempt: int
    code: str
    message: str
    log_ref: Ref | None
    final: bool


@event("runner", "task")
class TaskCancellationRequested:
    """The worker that holds the task is to stop it."""

    job_id: str
    index: int


@event("runner", "task", public=True)
class TaskCanceled:
    """The task does not run and never will again."""

    job_id: str
    index: int


@event("runner", "worker", public=True)
class WorkerRegistered:
    """A worker offers slots for these engines (``name`` to version).

    ``digests`` are SHA-256 of the engines' programs by name, as far as known. ``substitutes``
    maps engines that jobs may ask for to the offered one that runs editor projects instead.
    ``sandbox`` names what confines its engines, empty for workers that did not tell.
    """

    worker: str
    resource_class: str
    slots: int
    engines: dict[str, str]
    digests: dict[str, str] = field(default_factory=dict)
    substitutes: dict[str, str] = field(default_factory=dict)
    sandbox: str = ""


@event("runner", "worker", public=True)
class WorkerRetired:
    """A worker takes no more tasks; for the reason ``DIED`` it holds none any more either."""

    worker: str
    reason: str
