"""MergeSupply: opens a result set when a job asks for a merge, and deletes it with the job.

In: JobSubmitted, JobMergeRequested, JobCancellationRequested, JobDeletionRequested, JobFailed,
JobCanceled, JobDeleted (jobs). Out: OpenResultSet, DeleteResultSet; ExpectResults and RefuseResults
for jobs that run on clusters.

``merging`` finds open result sets in the read model, merges and publishes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kerma_common.contracts.events import jobs
from kerma_common.contracts.subjects import result_set_subject
from kerma_common.process.manager import Reaction
from kerma_common.projection.router import At
from kerma_results.domain.commands import (
    DeleteResultSet,
    ExpectResults,
    OpenResultSet,
    RefuseResults,
)
from kerma_results.domain.result_set import RESULT_SET

if TYPE_CHECKING:
    from kerma_common.commands.bus import CommandBus
    from kerma_common.commands.context import CommandContext

BATCH = "BATCH"
"""The platform of jobs that run on clusters."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """The empty state of this process: the result set itself knows whether it was opened."""


class MergeSupply:
    """Turns events of jobs into commands on their result sets."""

    service = "results"
    name = "merge-supply"
    streams = ("JOBS",)
    independent: frozenset[str] = frozenset()
    state_type = Nothing
    command_types: Mapping[str, type] = {
        "OpenResultSet": OpenResultSet,
        "DeleteResultSet": DeleteResultSet,
        "ExpectResults": ExpectResults,
        "RefuseResults": RefuseResults,
    }

    def key(self, event: Any) -> str | None:
        """Return the job that an event belongs to."""
        job_id: str | None = event.job_id if isinstance(event, _EVENTS) else None
        return job_id

    def handle(
        self,
        state: Nothing | None,  # noqa: ARG002 - part of the protocol
        event: Any,
        at: At,  # noqa: ARG002
    ) -> Reaction[Nothing]:
        """Return the commands that follow from an event."""
        return Reaction(None, tuple(_commands(event)))

    def wake(
        self,
        state: Nothing | None,  # noqa: ARG002
        key: str,  # noqa: ARG002
        timer: str,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> Reaction[Nothing]:
        """This process sets no timers."""
        return Reaction(None)


_EVENTS = (
    jobs.JobSubmitted,
    jobs.JobMergeRequested,
    jobs.JobCancellationRequested,
    jobs.JobDeletionRequested,
    jobs.JobFailed,
    jobs.JobCanceled,
    jobs.JobDeleted,
)
Command = OpenResultSet | DeleteResultSet | ExpectResults | RefuseResults


def _commands(event: Any) -> Iterator[Command]:
    match event:
        case jobs.JobSubmitted():
            if event.platform == BATCH:
                yield ExpectResults(event.job_id, event.owner, event.n_tasks)
        case jobs.JobMergeRequested():
            tasks = (event.succeeded, event.n_tasks)
            yield OpenResultSet(event.job_id, event.owner, *tasks, event.partial)
        case jobs.JobCancellationRequested(collect=True):
            pass
        case jobs.JobCancellationRequested() | jobs.JobDeletionRequested() | jobs.JobFailed():
            yield RefuseResults(event.job_id)
        case jobs.JobCanceled() | jobs.JobDeleted():
            yield DeleteResultSet(event.job_id)


def dispatcher(bus: CommandBus) -> Callable[[Any, CommandContext], Awaitable[None]]:
    """Return what executes the commands of this process."""

    async def dispatch(command: Command, context: CommandContext) -> None:
        await bus.execute(RESULT_SET, result_set_subject(command.job_id), command, context)

    return dispatch
