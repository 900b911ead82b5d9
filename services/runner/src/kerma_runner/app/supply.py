"""TaskSupply: queues the tasks of a started job, and cancels them when the job needs them no more.

In: JobStarted, JobCancellationRequested, JobDeleted, JobCompleted, JobFailed, JobCanceled (jobs).
Out: QueueTasks, CancelTasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kerma_common.contracts import ids, jobs
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.rpc_runner import HeldLease
from kerma_common.contracts.subjects import task_subject
from kerma_common.precedence import give_way
from kerma_common.process.manager import Reaction
from kerma_common.projection.router import At
from kerma_runner.domain.commands import Cancel, Queue, Spec
from kerma_runner.domain.task import TASK

if TYPE_CHECKING:
    from kerma_common.commands.bus import CommandBus, Executed
    from kerma_common.commands.context import CommandContext
    from kerma_runner.app.ports import Signals
    from kerma_runner.domain.task import Task

T = TypeVar("T")

IN_FLIGHT = 16
"""Commands in progress at a time; more would delay requests in this process."""
OF_ONE_JOB = 8
"""Commands of one job among them, so that jobs of other users need not wait for its end."""


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
    state_type = Supplied
    command_types: Mapping[str, type] = {"QueueTasks": QueueTasks, "CancelTasks": CancelTasks}

    def key(self, event: Any) -> str | None:
        """Return the job that an event belongs to."""
        job_id: str | None = event.job_id if isinstance(event, _EVENTS) else None
        return job_id

    def handle(self, state: Supplied | None, event: Any, at: At) -> Reaction[Supplied]:  # noqa: ARG002
        """Return the commands that follow from an event."""
        match event:
            case jobs.JobStarted():
                return Reaction(Supplied(event.n_tasks), (_queue(event),))
            case jobs.JobCancellationRequested() | jobs.JobDeleted() if state is not None:
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


def specs(command: QueueTasks) -> Iterator[Spec]:
    """Return the tasks of a job: its primaries are shared out, and every seed is fixed."""
    for index, primaries in enumerate(ids.split_primaries(command.primaries, command.n_tasks)):
        yield Spec(
            job_id=command.job_id,
            index=index,
            owner=command.owner,
            resource_class=command.resource_class,
            engine=command.engine,
            input_ref=command.input_ref,
            primaries=primaries,
            seed=ids.task_seed(command.job_id, index, command.seed_rule),
            max_attempts=command.max_attempts,
        )


@dataclass(frozen=True, slots=True)
class SupplyHandlers:
    """Execute the commands of TaskSupply; repeating one changes nothing."""

    bus: CommandBus
    signals: Signals
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))

    async def dispatch(self, command: object, ctx: CommandContext) -> None:
        """Execute a command of the process."""
        match command:
            case QueueTasks():
                await self._queue(command, ctx)
            case CancelTasks():
                await self._cancel(command, ctx)
            case _:
                raise TypeError(f"no handler for {type(command).__name__}")

    async def _queue(self, command: QueueTasks, ctx: CommandContext) -> None:
        async def queue(spec: Spec) -> None:
            subject = task_subject(spec.job_id, spec.index)
            await self.bus.execute(TASK, subject, Queue(spec), ctx)

        await self._pipelined(queue, specs(command))

    async def _cancel(self, command: CancelTasks, ctx: CommandContext) -> None:
        stopped: dict[str, list[HeldLease]] = {}

        async def cancel(index: int) -> None:
            subject = task_subject(command.job_id, index)
            done: Executed[Task] = await self.bus.execute(TASK, subject, Cancel(), ctx)
            task = done.state
            if task.phase.held and task.worker is not None:
                held = HeldLease(command.job_id, index, task.lease)
                stopped.setdefault(task.worker, []).append(held)

        await self._pipelined(cancel, range(command.n_tasks))
        for worker, leases in stopped.items():
            await self.signals.stop(worker, leases)

    async def _pipelined(
        self, step: Callable[[T], Coroutine[Any, Any, None]], arguments: Iterable[T]
    ) -> None:
        """Call a step for each argument, several at a time. Raises the first failure.

        Arguments are made when they are needed: making ten thousand at once would block the event
        loop.
        """
        remaining = iter(arguments)

        async def lane() -> None:
            for argument in remaining:
                await give_way()
                async with self._slots:
                    await step(argument)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(OF_ONE_JOB):
                    group.create_task(lane())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
