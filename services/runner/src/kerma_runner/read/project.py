"""Projection ``queue``: the runner's own events become the rows of the queue.

In: every event of tasks, lost ones included, and of workers.
"""

from __future__ import annotations

from collections.abc import Iterator

from kerma_common.contracts.events import runner as ev
from kerma_common.contracts.rpc_runner import DIED
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.ops import Delete, Op, Series, Update, Upsert
from kerma_runner.read.models import METADATA, TASK, WORKER

QUEUE = Projection("runner", "queue", ("RUNNER",), METADATA, revision=5)

_NOT_HELD = {"worker": None, "until": None}


def _set(
    event: ev.TaskLeased
    | ev.TaskStarted
    | ev.TaskRequeued
    | ev.TaskSucceeded
    | ev.TaskFailed
    | ev.TaskCancellationRequested
    | ev.TaskCanceled,
    **values: object,
) -> Op:
    return Update(TASK, {"job_id": event.job_id, "index": event.index}, values)


@QUEUE.on(ev.TasksQueued)
def all_queued(event: ev.TasksQueued, at: At) -> Iterator[Op]:
    """Every task waits, except those that a former release had queued one by one."""
    yield Series(
        TASK,
        {"job_id": event.job_id},
        "index",
        0,
        event.n_tasks,
        {
            "owner": event.owner,
            "resource_class": event.resource_class,
            "engine": event.engine,
            "state": "QUEUED",
            "attempt": 1,
            "queued_seq": at.seq,
            "trace": at.trace,
        },
    )


@QUEUE.on(ev.TasksWithdrawn)
def withdrawn(event: ev.TasksWithdrawn, at: At) -> Iterator[Op]:
    """Tasks without a lease leave the queue; one that is stored after this finds no row."""
    yield Delete(TASK, {"job_id": event.job_id, "lease": 0})


@QUEUE.on(ev.TaskQueued)
def queued(event: ev.TaskQueued, at: At) -> Iterator[Op]:
    """The task waits."""
    yield Upsert(
        TASK,
        {"job_id": event.job_id, "index": event.index},
        {
            "owner": event.owner,
            "resource_class": event.resource_class,
            "engine": event.engine,
            "state": "QUEUED",
            "attempt": event.attempt,
            "queued_seq": at.seq,
            "trace": at.trace,
        },
    )


@QUEUE.on(ev.TaskLeased)
def leased(event: ev.TaskLeased, at: At) -> Iterator[Op]:
    """A worker holds the task."""
    yield _set(event, state="LEASED", lease=event.lease, worker=event.worker, until=event.until)


@QUEUE.on(ev.TaskStarted)
def started(event: ev.TaskStarted, at: At) -> Iterator[Op]:
    """The engine runs."""
    yield _set(event, state="RUNNING")


@QUEUE.on(ev.TaskRequeued)
def requeued(event: ev.TaskRequeued, at: At) -> Iterator[Op]:
    """The task waits again."""
    yield _set(
        event,
        state="QUEUED",
        attempt=event.attempt,
        not_before=event.not_before,
        **_NOT_HELD,
    )


@QUEUE.on(ev.TaskSucceeded)
def succeeded(event: ev.TaskSucceeded, at: At) -> Iterator[Op]:
    """The task has ended."""
    yield _set(event, state="SUCCEEDED", **_NOT_HELD)


@QUEUE.on(ev.TaskFailed)
def failed(event: ev.TaskFailed, at: At) -> Iterator[Op]:
    """The task has ended if the failure is final.

    Otherwise a requeue follows in the same commit.
    """
    if event.final:
        yield _set(event, state="FAILED", **_NOT_HELD)


@QUEUE.on(ev.TaskCancellationRequested)
def cancellation_requested(event: ev.TaskCancellationRequested, at: At) -> Iterator[Op]:
    """The worker must stop the task."""
    yield _set(event, canceling=True)


@QUEUE.on(ev.TaskCanceled)
def canceled(event: ev.TaskCanceled, at: At) -> Iterator[Op]:
    """The task has ended."""
    yield _set(event, state="CANCELED", **_NOT_HELD)


@QUEUE.on(ev.TasksLost)
def lost(event: ev.TasksLost, at: At) -> Iterator[Op]:
    """These tasks leave the queue; a worker that still holds one gets the order to stop."""
    for index in event.tasks:
        key = {"job_id": event.job_id, "index": index}
        yield Update(TASK, key, {"state": "FAILED", **_NOT_HELD})


@QUEUE.on(ev.WorkerRegistered)
def registered(event: ev.WorkerRegistered, at: At) -> Iterator[Op]:
    """The worker offers slots."""
    yield Upsert(
        WORKER,
        {"worker": event.worker},
        {
            "resource_class": event.resource_class,
            "slots": event.slots,
            "engines": event.engines,
            "digests": event.digests,
            "substitutes": event.substitutes,
            "sandbox": event.sandbox,
        },
    )


@QUEUE.on(ev.WorkerRetired)
def retired(event: ev.WorkerRetired, at: At) -> Iterator[Op]:
    """The worker has left. If it died, its leases no longer wait for a promised end."""
    yield Delete(WORKER, {"worker": event.worker})
    if event.reason == DIED:
        yield Update(TASK, {"worker": event.worker}, {"until": None})
