"""Where a task begins: in the set of its job, or, if a former release queued it, in itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_common.contracts.events.runner import TasksWithdrawn
from kerma_common.contracts.subjects import task_set_subject
from kerma_runner.domain.task import TASK, task_of
from kerma_runner.domain.task_set import TASK_SET

if TYPE_CHECKING:
    from kerma_common.commands.bus import CommandBus, Executed
    from kerma_common.domain import Aggregate
    from kerma_common.eventlog.port import EventLog
    from kerma_runner.domain.task import Task


@dataclass(frozen=True, slots=True)
class TaskSets:
    """The sets of tasks, read through the command bus; ``log`` is the one behind it."""

    bus: CommandBus
    log: EventLog

    async def task(self, job_id: str, index: int) -> Aggregate[Task]:
        """Return the aggregate of a task.

        The set may have been withdrawn meanwhile; that ends only tasks without a lease, and
        ``is_void`` finds those that are leased nevertheless.
        """
        known = await self.bus.known(TASK_SET, task_set_subject(job_id))
        spec = known.spec(index)
        return TASK if spec is None else task_of(spec, withdrawn=known.closed)

    async def is_void(self, job_id: str, leased: Executed[Task]) -> bool:
        """Return whether a lease was stored after the withdrawal of the tasks that had none.

        Must be called after the lease is stored: only then does the log show which came first.
        """
        if leased.state.lease > 1 or leased.state.canceling:
            return False
        withdrawal = await self.withdrawal(job_id)
        return withdrawal is not None and leased.seq > withdrawal

    async def withdrawal(self, job_id: str) -> int | None:
        """Return the stream sequence of the withdrawal, or None if there is none."""
        subject = task_set_subject(job_id)
        state, _ = await self.bus.state(TASK_SET, subject)
        if not state.closed or state.withdrawn is not None:
            return state.withdrawn
        # foreign messages may follow it, so it need not be the last on the subject
        for record in await self.log.load(subject):
            if any(event.type == TasksWithdrawn.__name__ for event in record.commit.events):
                return record.seq
        return None
