"""The tasks of one job together: they are queued by one event, and so are those cancelled that wait.

A task has events of its own from its first lease on. Its set decides by the order of the stream
whether that lease counts: after the withdrawal, a task without a lease is as good as cancelled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from kerma_common.contracts import ids
from kerma_common.contracts.events import runner as ev
from kerma_common.contracts.refs import Ref
from kerma_common.domain import Aggregate
from kerma_runner.domain.commands import Spec


@dataclass(frozen=True, slots=True)
class QueueTasks:
    """Queue every task of a job."""

    job_id: str
    owner: str
    engine: str
    input_ref: Ref
    primaries: int
    n_tasks: int
    max_attempts: int
    resource_class: str
    seed_rule: int = 1


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Let no task be leased for the first time any more."""


@dataclass(frozen=True, slots=True)
class CancelWithdrawn:
    """Cancel every task but those that were ``leased`` before the sequence ``withdrawn``."""

    leased: Collection[int]
    withdrawn: int


Command = QueueTasks | Withdraw | CancelWithdrawn
Event = ev.TasksQueued | ev.TasksWithdrawn | ev.TasksCanceled


@dataclass(frozen=True, slots=True)
class TaskSet:
    """State of the tasks of a job.

    ``withdrawn`` is the sequence of the withdrawal once tasks have been cancelled by it.
    """

    queued: ev.TasksQueued | None = None
    closed: bool = False
    withdrawn: int | None = None

    def spec(self, index: int) -> Spec | None:
        """Return a task of the set, or None if the set has no such task."""
        queued = self.queued
        if queued is None or not 0 <= index < queued.n_tasks:
            return None
        return Spec(
            job_id=queued.job_id,
            index=index,
            owner=queued.owner,
            resource_class=queued.resource_class,
            engine=queued.engine,
            input_ref=queued.input_ref,
            primaries=ids.share_of_primaries(queued.primaries, queued.n_tasks, index),
            seed=ids.task_seed(queued.job_id, index, queued.seed_rule),
            max_attempts=queued.max_attempts,
        )


def decide(state: TaskSet, command: object) -> tuple[object, ...]:
    """Return the events that follow from ``command``; see the commands for their meaning."""
    if not isinstance(command, Command):
        raise TypeError(f"a set of tasks knows no {type(command).__name__}")
    match command:
        case QueueTasks():
            return () if state.queued is not None else (_queued(command),)
        case Withdraw():
            if state.queued is None or state.closed:
                return ()
            return (ev.TasksWithdrawn(job_id=state.queued.job_id),)
        case CancelWithdrawn():
            return _cancel(state, command)
        case _:
            assert_never(command)


def _queued(command: QueueTasks) -> ev.TasksQueued:
    return ev.TasksQueued(
        job_id=command.job_id,
        owner=command.owner,
        resource_class=command.resource_class,
        engine=command.engine,
        input_ref=command.input_ref,
        primaries=command.primaries,
        n_tasks=command.n_tasks,
        max_attempts=command.max_attempts,
        seed_rule=command.seed_rule,
    )


def _cancel(state: TaskSet, command: CancelWithdrawn) -> tuple[object, ...]:
    if state.queued is None or not state.closed or state.withdrawn is not None:
        return ()
    tasks = tuple(_ranges(state.queued.n_tasks, command.leased))
    if not tasks:
        return ()
    job_id = state.queued.job_id
    return (ev.TasksCanceled(job_id=job_id, tasks=tasks, withdrawn=command.withdrawn),)


def _ranges(n_tasks: int, without: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges (first, stop) of the numbers below ``n_tasks`` that are not in ``without``."""
    first = 0
    for index in (*sorted(without), n_tasks):
        if first < index:
            yield first, index
        first = index + 1


def evolve(state: TaskSet, event: Event) -> TaskSet:
    """Return the state after an event; defined for every stored event."""
    match event:
        case ev.TasksQueued():
            return replace(state, queued=event)
        case ev.TasksWithdrawn():
            return replace(state, closed=True)
        case ev.TasksCanceled():
            return replace(state, withdrawn=event.withdrawn)
        case _:
            assert_never(event)


TASK_SET: Aggregate[TaskSet] = Aggregate("runner", "task_set", TaskSet(), decide, evolve)
