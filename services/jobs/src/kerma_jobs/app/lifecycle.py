"""JobLifecycle: moves a job on when its tasks and its result set have ended.

In: JobSubmitted, JobCompleted, JobFailed, JobCanceled, JobDeleted, of jobs on clusters TasksReported,
JobStateReported, JobArraysReported, JobLogReported, JobResultsAwaited (jobs); TaskSucceeded, TaskFailed,
TaskCanceled, TasksCanceled, TasksLost (runner); ResultsReceived, ResultSetPublished, ResultSetFailed
(results). Out: SettleTasks, CompleteJob, FailMerge, StopJob, EndOverdueJob, ForgetProgress.

Each task has exactly one final event, its own or one that many share, and each event takes effect
exactly once here, so counting is enough. Only a lost task may have a second one, after a repair; it
does not count.

A job on a cluster that is not heard of ends by a timer (``patience``), unless its results have come:
then it only waits for their publication, however long that takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

from kerma_common.contracts.events import jobs, results, runner
from kerma_common.contracts.refs import Ref
from kerma_common.process.manager import Reaction
from kerma_common.projection.router import At
from kerma_jobs.app.patience import REPORTS, Patience
from kerma_jobs.domain.commands import (
    CompleteJob,
    EndOverdueJob,
    FailMerge,
    SettleTasks,
    StopJob,
)
from kerma_jobs.domain.state import BATCH

FAILED_TASKS_NAMED = 20
TOO_MANY_BYTES = "JOB_BYTES_LIMIT"


@dataclass(frozen=True, slots=True)
class Endings:
    """How many tasks of a job ended and how; ``n_tasks`` is 0 until the submission is seen.

    ``lost`` are tasks whose history cannot be read; they are among the failed.
    ``stored_bytes``: outputs and logs of every attempt that ended; ``byte_limit`` bounds them, 0 is
    no limit. ``cluster`` is whether the job runs on one, ``awaited`` whether it only lacks its
    results, ``delivered`` whether they have come. ``heard`` counts the events by which it was heard
    of, None if the submission came before there was this count.
    """

    n_tasks: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    failed_tasks: tuple[int, ...] = ()
    reason: str = ""
    stored_bytes: int = 0
    byte_limit: int = 0
    lost: tuple[int, ...] = ()
    cluster: bool = False
    awaited: bool = False
    delivered: bool = False
    heard: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every task has ended."""
        return 0 < self.n_tasks <= self.succeeded + self.failed + self.canceled

    @property
    def excessive(self) -> bool:
        """Whether the job stores more than it may."""
        return 0 < self.byte_limit < self.stored_bytes


@dataclass(frozen=True, slots=True)
class ForgetProgress:
    """Delete what clusters have reported of the progress of a job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class JobLifecycle:
    """The process manager of jobs."""

    patience: Patience = field(default_factory=Patience)
    service: ClassVar[str] = "jobs"
    name: ClassVar[str] = "lifecycle"
    streams: ClassVar[tuple[str, ...]] = ("JOBS", "RUNNER", "RESULTS")
    independent: ClassVar[frozenset[str]] = frozenset({"task", "task_set"})
    state_type: ClassVar[type[Endings]] = Endings
    command_types: ClassVar[Mapping[str, type]] = {
        "SettleTasks": SettleTasks,
        "CompleteJob": CompleteJob,
        "FailMerge": FailMerge,
        "StopJob": StopJob,
        "EndOverdueJob": EndOverdueJob,
        "ForgetProgress": ForgetProgress,
    }

    def key(self, event: Any) -> str | None:
        """Return the job that an event belongs to."""
        job_id: str | None = event.job_id if isinstance(event, _EVENTS) else None
        return job_id

    def handle(self, state: Endings | None, event: Any, at: At) -> Reaction[Endings]:
        """Return the commands that follow from an event."""
        match event:
            case jobs.JobCompleted() | jobs.JobFailed() | jobs.JobCanceled():
                return Reaction(None)
            case jobs.JobDeleted():
                return Reaction(None, (ForgetProgress(event.job_id),))
            case results.ResultSetPublished():
                complete = CompleteJob(
                    event.job_id,
                    event.tasks_merged,
                    event.primaries_merged,
                    event.partial,
                    at.time,
                )
                return Reaction(state, (complete,))
            case results.ResultSetFailed():
                fail = FailMerge(event.job_id, event.code, event.message, at.time)
                return Reaction(state, (fail,))
            case results.ResultsReceived():
                return self._received(state)
        if isinstance(event, REPORTS):
            return self._heard(state, event, at)
        known = state or Endings()
        after = _count(known, event)
        commands: list[SettleTasks | StopJob] = []
        if after.excessive and not known.excessive:
            commands.append(_stop(event.job_id, after))
        if after.complete and not known.complete:
            commands.append(_settle(event.job_id, after, at.time))
        began = after.cluster and not known.cluster
        timers = self.patience.heard(after.awaited, event, at.time) if began else ()
        return Reaction(after, tuple(commands), timers)

    def _heard(self, state: Endings | None, event: Any, at: At) -> Reaction[Endings]:
        """Put off the end of a job on a cluster; without a state, it has ended."""
        if state is None or not state.cluster:
            return Reaction(state)
        after = replace(
            state,
            awaited=state.awaited or isinstance(event, jobs.JobResultsAwaited),
            heard=None if state.heard is None else state.heard + 1,
        )
        if after.delivered:
            return Reaction(after)
        return Reaction(after, (), self.patience.heard(after.awaited, event, at.time))

    def _received(self, state: Endings | None) -> Reaction[Endings]:
        """Wait for nothing more of a cluster.

        Without a state the job has ended, or its submission, of another stream, comes later: then
        there are timers, and whoever carries out their commands finds the results (``overdue``).
        """
        if state is None:
            return Reaction(None)
        return Reaction(replace(state, delivered=True), (), self.patience.satisfied())

    def wake(self, state: Endings | None, key: str, timer: str, now: datetime) -> Reaction[Endings]:
        """End a job on a cluster that has not been heard of for too long."""
        if state is None:
            return Reaction(None)
        return Reaction(state, *self.patience.due(timer, key, now, state.heard))


_EVENTS = (
    jobs.JobSubmitted,
    jobs.JobCompleted,
    jobs.JobFailed,
    jobs.JobCanceled,
    jobs.JobDeleted,
    runner.TaskSucceeded,
    runner.TaskFailed,
    runner.TaskCanceled,
    runner.TasksCanceled,
    runner.TasksLost,
    results.ResultsReceived,
    results.ResultSetPublished,
    results.ResultSetFailed,
    *REPORTS,
)


def _count(known: Endings, event: Any) -> Endings:
    if isinstance(event, _OWN_END) and event.index in known.lost:
        return known
    match event:
        case jobs.JobSubmitted():
            return replace(
                known,
                n_tasks=event.n_tasks,
                byte_limit=event.byte_limit,
                cluster=event.platform == BATCH,
                heard=0 if event.platform == BATCH else None,
            )
        case runner.TaskSucceeded():
            stored = known.stored_bytes + _size(event.output_ref) + _size(event.log_ref)
            return replace(known, succeeded=known.succeeded + 1, stored_bytes=stored)
        case runner.TaskCanceled():
            return replace(known, canceled=known.canceled + 1)
        case runner.TasksCanceled():
            number = sum(stop - first for first, stop in event.tasks)
            return replace(known, canceled=known.canceled + number)
        case runner.TasksLost():
            return _lose(known, event)
        case runner.TaskFailed():
            known = replace(known, stored_bytes=known.stored_bytes + _size(event.log_ref))
            return _fail(known, (event.index,), event.message) if event.final else known
        case _:
            return known


_OWN_END = runner.TaskSucceeded | runner.TaskFailed | runner.TaskCanceled


def _fail(known: Endings, tasks: tuple[int, ...], reason: str) -> Endings:
    return replace(
        known,
        failed=known.failed + len(tasks),
        failed_tasks=(*known.failed_tasks, *tasks)[:FAILED_TASKS_NAMED],
        reason=known.reason or reason,
    )


def _lose(known: Endings, event: runner.TasksLost) -> Endings:
    tasks = tuple(index for index in event.tasks if index not in known.lost)
    return replace(_fail(known, tasks, event.reason), lost=(*known.lost, *tasks))


def _size(ref: Ref | None) -> int:
    return ref.size if ref is not None else 0


def _stop(job_id: str, endings: Endings) -> StopJob:
    message = (
        f"The outputs and logs of its tasks have {endings.stored_bytes} bytes, more than "
        f"{endings.byte_limit}, the limit KERMA_JOBS_JOB_BYTES"
    )
    return StopJob(job_id, TOO_MANY_BYTES, message)


def _settle(job_id: str, endings: Endings, now: datetime) -> SettleTasks:
    return SettleTasks(
        job_id,
        endings.succeeded,
        endings.failed,
        endings.canceled,
        endings.failed_tasks,
        endings.reason,
        now,
        endings.stored_bytes,
    )
