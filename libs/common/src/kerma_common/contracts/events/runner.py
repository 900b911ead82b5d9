"""Events of the runner service: tasks, their leases, and workers."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime

from kerma_common.contracts.refs import Ref
from kerma_common.contracts.registry import event


@event("runner", "task_set", public=True)
class TasksQueued:
    """All tasks of a job wait for workers.

    The share of ``primaries`` and the seed of each follow from its number, from 0, by the rules in
    ``contracts.ids``. Its own events begin with its first lease.
    """

    job_id: str
    owner: str
    resource_class: str
    engine: str
    input_ref: Ref
    primaries: int
    n_tasks: int
    max_attempts: int
    seed_rule: int


@event("runner", "task_set")
class TasksWithdrawn:
    """No task of the job is leased for the first time any more; a first lease after this is void."""

    job_id: str


@event("runner", "task_set", public=True)
class TasksCanceled:
    """These tasks of the job had not been leased and never will be.

    ``tasks`` are ranges (first, stop) of task numbers. ``withdrawn`` is the stream sequence of
    ``TasksWithdrawn``.
    """

    job_id: str
    tasks: tuple[tuple[int, int], ...]
    withdrawn: int


@event("runner", "task_loss", public=True)
class TasksLost:
    """The history of these tasks cannot be read: they count as failed and never run again.

    ``tasks`` are numbers of tasks of which no readable event says that they have ended. A later
    event that says so does not count.
    """

    job_id: str
    tasks: tuple[int, ...]
    reason: str


@event("runner", "task", public=True)
class TaskQueued:
    """A task waits for a worker. Former releases queued tasks one by one."""

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
    """A worker holds the task until the time ``until``, under this fencing number."""

    job_id: str
    index: int
    lease: int
    worker: str
    until: datetime


@event("runner", "task", public=True)
class TaskStarted:
    """The engine of the task is running."""

    job_id: str
    index: int
    lease: int
    worker: str


@event("runner", "task")
class TaskLeaseExpired:
    """The worker with this lease sent no heartbeat in time, or is known to be gone."""

    job_id: str
    index: int
    lease: int


@event("runner", "task", public=True)
class TaskRequeued:
    """The task waits again; no lease is granted before ``not_before``."""

    job_id: str
    index: int
    reason: str
    attempt: int
    not_before: datetime


@event("runner", "task", public=True)
class TaskSucceeded:
    """The task's outputs are stored and were readable."""

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
    """An attempt failed; ``final`` if there is no further one."""

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
    """The worker that holds the task must stop it."""

    job_id: str
    index: int


@event("runner", "task", public=True)
class TaskCanceled:
    """The task is not running and will never run again."""

    job_id: str
    index: int


@event("runner", "worker", public=True)
class WorkerRegistered:
    """A worker offers slots for these engines (``name`` to version).

    ``digests`` are the SHA-256 of the engines' programs by name, as far as known. ``substitutes``
    maps engines that jobs may ask for to the offered engine that runs editor projects instead.
    ``sandbox`` names the sandbox of its engines; empty if the worker did not report one.
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
    """A worker takes no more tasks; for the reason ``DIED``, it no longer holds any either."""

    worker: str
    reason: str
