"""Where a task begins: in the set of its job, or, if a former release queued it, in itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
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
    _reads: dict[str, _Reads] = field(default_factory=dict, init=False, repr=False)

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
        withdrawal = await self._withdrawal_from_now_on(job_id)
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

    async def _withdrawal_from_now_on(self, job_id: str) -> int | None:
        """Return the withdrawal by a read that begins now or later, together with other claims.

        Claims of a job come many at a time, and each read brings the event of the whole set.
        """
        reads = self._reads.setdefault(job_id, _Reads())
        if reads.next is None:
            reads.next = asyncio.create_task(self._read_after_the_present(job_id, reads))
            reads.next.add_done_callback(_note)  # all who asked may have given up
        return await asyncio.shield(reads.next)

    async def _read_after_the_present(self, job_id: str, reads: _Reads) -> int | None:
        async with reads.present:
            reads.next = None  # who asks from here on needs a later read
            try:
                return await self.withdrawal(job_id)
            finally:
                if reads.next is None:
                    del self._reads[job_id]


@dataclass(slots=True)
class _Reads:
    """The reads of one set: one at a time, and the next one for all who ask meanwhile."""

    present: asyncio.Lock = field(default_factory=asyncio.Lock)
    next: asyncio.Task[int | None] | None = None


def _note(read: asyncio.Task[int | None]) -> None:
    """Retrieve a failure, so that asyncio does not warn when nobody waits."""
    if not read.cancelled():
        read.exception()
