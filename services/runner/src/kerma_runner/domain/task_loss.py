"""The lost tasks of a job: those whose history cannot be read, so that no command ends them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import assert_never

from kerma_common.contracts.events import runner as ev
from kerma_common.domain import Aggregate


@dataclass(frozen=True, slots=True)
class LoseTasks:
    """Count these tasks as failed."""

    job_id: str
    tasks: Collection[int]
    reason: str


@dataclass(frozen=True, slots=True)
class TaskLoss:
    """Numbers of the lost tasks of a job."""

    lost: frozenset[int] = frozenset()


def decide(state: TaskLoss, command: LoseTasks) -> tuple[object, ...]:
    """Return the loss of those tasks that are not lost already."""
    match command:
        case LoseTasks():
            tasks = tuple(sorted(set(command.tasks) - state.lost))
            if not tasks:
                return ()
            return (ev.TasksLost(job_id=command.job_id, tasks=tasks, reason=command.reason),)
        case _:
            assert_never(command)


def evolve(state: TaskLoss, event: ev.TasksLost) -> TaskLoss:
    """Return the state after an event."""
    match event:
        case ev.TasksLost():
            return TaskLoss(state.lost | set(event.tasks))
        case _:
            assert_never(event)


TASK_LOSS: Aggregate[TaskLoss] = Aggregate("runner", "task_loss", TaskLoss(), decide, evolve)
