"""TaskSupply: queues the tasks of a started job, and cancels them when the job needs them no more.

In: JobStarted, JobCancellationRequested, JobLimitExceeded, JobDeleted, JobCompleted, JobFailed,
JobCanceled (jobs).
Out: QueueTasks, CancelTasks, LoseTasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kerma_common.contracts.events import jobs
from kerma_common.contracts.rpc_runner import HeldLease
from kerma_common.contracts.subjects import task_set_subject, task_subject, tasks_pattern
from kerma_common.errors import UnreadableHistory
from kerma_common.precedence import give_way
from kerma_common.process.manager import Reaction
from kerma_common.projection.router import At
from kerma_runner.domain.commands import Cancel
from kerma_runner.domain.task_set import TASK_SET, CancelWithdrawn, QueueTasks, Withdraw

if TYPE_CHECKING:
    from kerma_common.commands.bus import CommandBus
    from kerma_common.commands.context import CommandContext
    from kerma_common.contracts.envelope import Recorded
    from kerma_common.eventlog.port import EventLog
    from kerma_runner.app.ports import Signals
    from kerma_runner.app.task_loss import Losses
    from kerma_runner.app.task_sets import TaskSets

IN_FLIGHT = 16
"""Commands in progress at a time; more would delay requests in this process."""
ON_CLUSTER = "batch"
"""Placement of jobs that no worker takes."""
OF_ONE_JOB = 8
"""Commands of one job among them, so that jobs of other users need not wait for its end."""


@dataclass(frozen=True, slots=True)
class CancelTasks:
    """Cancel every task of a job that has not ended."""

    job_id: str
    n_tasks: int


@dataclass(frozen=True, slots=True)
class Supplied:
    """A job that has tasks."""

    n_tasks: int


class TaskSupply:
    """The process manager from a started job to its tasks."""

    service = "runner"
    name = "task-supply"
    streams = ("JOBS",)
    independent: frozenset[str] = frozenset()
    state_type = Supplied
    command_types: Mapping[str, type] = {"QueueTasks": QueueTasks, "CancelTasks": CancelTasks}

    def key(self, event: Any) -> str | None:
        """Return the job that an event belongs to."""
        job_id: str | None = event.job_id if isinstance(event, _EVENTS) else None
        return job_id

    def handle(self, state: Supplied | None, event: Any, at: At) -> Reaction[Supplied]:  # noqa: ARG002
        """Return the commands that follow from an event."""
        match event:
            case jobs.JobStarted() if event.placement == ON_CLUSTER:
                return Reaction(state)
            case jobs.JobStarted():
                return Reaction(Supplied(event.n_tasks), (_queue(event),))
            case jobs.JobCancellationRequested() | jobs.JobLimitExceeded() | jobs.JobDeleted() if (
                state is not None
            ):
                return Reaction(state, (CancelTasks(event.job_id, state.n_tasks),))
            case jobs.JobCompleted() | jobs.JobFailed() | jobs.JobCanceled():
                return Reaction(None)
        return Reaction(state)

    def wake(
        self,
        state: Supplied | None,
        key: str,  # noqa: ARG002 - part of the protocol
        timer: str,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> Reaction[Supplied]:
        """This process sets no timers."""
        return Reaction(state)


_EVENTS = (
    jobs.JobStarted,
    jobs.JobCancellationRequested,
    jobs.JobLimitExceeded,
    jobs.JobDeleted,
    jobs.JobCompleted,
    jobs.JobFailed,
    jobs.JobCanceled,
)


def _queue(event: jobs.JobStarted) -> QueueTasks:
    return QueueTasks(
        event.job_id,
        event.owner,
        event.engine,
        event.input_ref,
        event.primaries,
        event.n_tasks,
        event.max_attempts,
        event.placement,
        event.seed_rule,
    )


@dataclass(frozen=True, slots=True)
class SupplyHandlers:
    """Execute the commands of TaskSupply; repeating one changes nothing."""

    bus: CommandBus
    log: EventLog
    sets: TaskSets
    losses: Losses
    signals: Signals
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))

    async def dispatch(self, command: object, ctx: CommandContext) -> None:
        """Execute a command of the process."""
        match command:
            case QueueTasks():
                subject = task_set_subject(command.job_id)
                await self.bus.execute(TASK_SET, subject, command, ctx, fresh=True)
            case CancelTasks():
                try:
                    await self._cancel(command, ctx)
                except UnreadableHistory as error:  # of the set: no task of it can be cancelled
                    tasks = range(command.n_tasks)
                    await self.losses.lose(command.job_id, tasks, error, ctx.step("lose"))
            case _:
                raise TypeError(f"no handler for {type(command).__name__}")

    async def _cancel(self, command: CancelTasks, ctx: CommandContext) -> None:
        """Cancel tasks that never had a lease by one event, and every other one by its own.

        After the withdrawal, the log shows which tasks had a lease: a later one is void.
        """
        subject = task_set_subject(command.job_id)
        await self.bus.execute(TASK_SET, subject, Withdraw(), ctx.step("withdraw"))
        withdrawal = await self.sets.withdrawal(command.job_id)
        history = await self.log.history(subject.stream, tasks_pattern(command.job_id))
        first = _first_commits(history)
        if withdrawal is None:  # a former release queued the tasks one by one
            begun: Iterable[int] = range(command.n_tasks)
        else:
            begun = sorted(index for index, seq in first.items() if seq < withdrawal)
            rest = CancelWithdrawn(begun, withdrawal)
            await self.bus.execute(TASK_SET, subject, rest, ctx.step("cancel"))
        await self._cancel_each(command.job_id, begun, ctx)

    async def _cancel_each(self, job_id: str, tasks: Iterable[int], ctx: CommandContext) -> None:
        """Cancel these tasks; those whose history cannot be read are lost.

        Raises UnreadableHistory, at the end, for a history that a newer release wrote.
        """
        stopped: dict[str, list[HeldLease]] = {}
        lost: dict[int, UnreadableHistory] = {}
        newer: list[UnreadableHistory] = []

        async def cancel(index: int) -> None:
            task = await self.sets.task(job_id, index)
            try:
                done = await self.bus.execute(task, task_subject(job_id, index), Cancel(), ctx)
            except UnreadableHistory as error:
                if error.newer:
                    newer.append(error)
                else:
                    lost[index] = error
                return
            if done.state.phase.held and done.state.worker is not None:
                held = HeldLease(job_id, index, done.state.lease)
                stopped.setdefault(done.state.worker, []).append(held)

        await self._pipelined(cancel, tasks)
        for worker, leases in stopped.items():
            await self.signals.stop(worker, leases)
        if lost:
            await self.losses.lose(job_id, lost, next(iter(lost.values())), ctx.step("lose"))
        if newer:
            raise newer[0]

    async def _pipelined(
        self, step: Callable[[int], Coroutine[Any, Any, None]], tasks: Iterable[int]
    ) -> None:
        """Call a step for each task, several at a time. Raises the first failure."""
        remaining = iter(tasks)

        async def lane() -> None:
            for index in remaining:
                await give_way()
                async with self._slots:
                    await step(index)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(OF_ONE_JOB):
                    group.create_task(lane())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None


def _first_commits(history: Sequence[Recorded]) -> dict[int, int]:
    """Return the sequence of the first commit of each task."""
    first: dict[int, int] = {}
    for record in history:
        index = record.commit.aggregate_id.rpartition(".")[2]
        # anyone may store a foreign message, or something at another place
        if record.foreign is None and index.isdecimal():
            first.setdefault(int(index), record.seq)
    return first
