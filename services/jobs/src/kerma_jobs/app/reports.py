"""Reports of scripts on clusters: progress becomes rows, everything else commands of the job.

Out: TasksReported, JobStateReported, JobArraysReported, JobLogReported, JobAllTasksSettled,
JobResultsAwaited, JobFailed, JobCanceled.

What many scripts report at the same time is one statement, and per job one commit. A repetition gets
the same answer and stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.ids import share_of_primaries
from kerma_common.contracts.subjects import job_subject
from kerma_common.errors import (
    WRONG_DATA,
    ConcurrencyConflict,
    DomainRejected,
    InvalidRequest,
    Unavailable,
)
from kerma_jobs.app.grouping import Grouped
from kerma_jobs.app.ports import Found, Progressed
from kerma_jobs.domain import batch
from kerma_jobs.domain.commands import ReportJob, ReportTasks, TaskReport
from kerma_jobs.domain.job import JOB
from kerma_jobs.domain.state import BATCH, TERMINAL

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.commands.bus import CommandBus
    from kerma_common.commands.consistency import Positions
    from kerma_common.commands.lateness import Lateness
    from kerma_common.security.update_keys import UpdateKey
    from kerma_jobs.app.ports import Progress

ACTOR = "update-key"
MOST_OF_A_COMMIT = 400
"""Reports on tasks of one commit: about 100 kB."""
MOST_OF_A_STATEMENT = 500
"""Reports on tasks that one statement carries out; a request with more is several statements."""
PATIENCE = 4
"""How often a command may be given up because other replicas commit reports on the same job: who has
to read their commits first is slower than who made them."""
NO_TASK = -1
"""The index of a report that is about no task: it says nothing, and is refused as others are."""
LOG_MEDIA = "application/json"
UNKNOWN = "There is no such simulation."
_REFUSALS: Mapping[str, tuple[str, str]] = {
    "UNKNOWN_JOB": ("", UNKNOWN),
    batch.NOT_BATCH: ("", "Kerma's own workers report on this simulation."),
    batch.CANCELED: ("update_key", "The job is cancelled: its keys are void."),
    batch.REVOKED: ("update_key", "The key was revoked."),
}


@dataclass(frozen=True, slots=True)
class TaskUpdate:
    """What a script says of a task. ``index`` counts from 0; None is what it says nothing about."""

    index: int
    state: str | None = None
    requested: int | None = None
    simulated: int | None = None
    eta_seconds: float | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """What a script says of a job."""

    state: str | None = None
    ended_at: datetime | None = None
    job_dir: str | None = None
    array_id: int | None = None
    collect_id: int | None = None
    log: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Reports:
    """Accepts reports.

    All methods raise InvalidRequest for a report that is refused. ``progressed`` is called with a job
    whose rows of progress may have changed.
    """

    bus: CommandBus
    progress: Progress
    blobs: BlobStore
    positions: Positions
    clock: Callable[[], datetime]
    lateness: Lateness
    progressed: Callable[[str], None] = lambda _: None
    _rows: Grouped[Sequence[Progressed], Sequence[Found]] = field(init=False)
    _commands: dict[tuple[str, datetime], Grouped[Sequence[TaskReport], int]] = field(
        default_factory=dict, init=False
    )

    def __post_init__(self) -> None:
        self._rows = Grouped(self._write, MOST_OF_A_STATEMENT, len)

    async def admit(self, key: UpdateKey) -> None:
        """Check that the job takes reports by this key, as its rows are now."""
        await self._found(key, [Progressed(key.job_id, NO_TASK, 0, None, key.issued_at)])

    async def tasks(self, key: UpdateKey, updates: Sequence[TaskUpdate]) -> list[bool]:
        """Take reports on tasks of a job; return whether each is about a task that exists."""
        known: list[bool] = []
        further: list[TaskReport] = []
        # in turns with the reports of others
        for start in range(0, len(updates), MOST_OF_A_STATEMENT):
            some = updates[start : start + MOST_OF_A_STATEMENT]
            rows = [
                Progressed(key.job_id, u.index, u.simulated or 0, u.eta_seconds, key.issued_at)
                for u in some
            ]
            found = await self._found(key, rows)
            if found[0].job_state not in TERMINAL:
                self.progressed(key.job_id)
            for update, row in zip(some, found, strict=True):
                known.append(0 <= update.index < row.n_tasks)
                if _says_more(update, row):
                    further.append(_report(update, row))
        if further:
            await self._command(key, further)
        return known

    async def job(self, key: UpdateKey, update: JobUpdate, request_id: str) -> None:
        """Take a report on a job."""
        texts = _texts(update.log)
        command = ReportJob(
            job_id=key.job_id,
            issued_at=key.issued_at,
            now=self.clock(),
            state=update.state,
            ended_at=update.ended_at,
            job_dir=update.job_dir,
            array_id=update.array_id,
            collect_id=update.collect_id,
            log_text="; ".join(f"{name}: {text}" for name, text in texts.items()),
        )
        if texts and batch.keeps_log(await self.bus.known(JOB, job_subject(key.job_id)), command):
            stored = orjson.dumps(texts, option=orjson.OPT_SORT_KEYS)
            log_ref = await self.blobs.put(stored, media=LOG_MEDIA)
            command = replace(command, log_ref=log_ref)
        # a cause of its own: clients choose ids of requests, and may use one for every report
        seq = await self._execute(command, ("report", str(uuid4())), request_id, "sim_id")
        await self.positions.wait("jobs", "JOBS", seq)

    async def _found(self, key: UpdateKey, rows: Sequence[Progressed]) -> Sequence[Found]:
        """Write progress; return what the rows say. Raises InvalidRequest for a void key."""
        found = await self._rows.do(rows)
        if found[0].job_state is None and await self.lateness.has_heard(key.job_id):
            found = await self._rows.do(rows)
        _check(found[0])
        return found

    async def _write(self, groups: Sequence[Sequence[Progressed]]) -> Sequence[Sequence[Found]]:
        found = await self.progress.report([row for group in groups for row in group])
        start, outcomes = 0, []
        for group in groups:
            outcomes.append(found[start : start + len(group)])
            start += len(group)
        return outcomes

    async def _command(self, key: UpdateKey, reports: Sequence[TaskReport]) -> None:
        at = (key.job_id, key.issued_at)
        if (group := self._commands.get(at)) is None:

            async def step(groups: Sequence[Sequence[TaskReport]]) -> Sequence[int]:
                done = await self._report(key, [report for each in groups for report in each])
                return [done] * len(groups)

            group = self._commands[at] = Grouped(step)
        try:
            seq = await group.do(reports)
        finally:
            # a later one may have taken its place
            if group.idle and self._commands.get(at) is group:
                del self._commands[at]
        await self.positions.wait("jobs", "JOBS", seq)

    async def _report(self, key: UpdateKey, reports: Sequence[TaskReport]) -> int:
        """Store what reports change, in as few commits as possible; return the last sequence."""
        seq = 0
        for start in range(0, len(reports), MOST_OF_A_COMMIT):
            some = tuple(reports[start : start + MOST_OF_A_COMMIT])
            command = ReportTasks(key.job_id, some, key.issued_at, self.clock())
            cause = str(uuid4())
            seq = await self._execute(command, ("report", cause), cause, "simulation_id")
        return seq

    async def _execute(
        self,
        command: ReportTasks | ReportJob,
        cause: tuple[str, ...],
        correlation: str,
        number: str,
    ) -> int:
        context = CommandContext(ACTOR, cause, correlation, command.now)
        lost = ""
        for _ in range(PATIENCE):
            try:
                done = await self.bus.execute(JOB, job_subject(command.job_id), command, context)
            except DomainRejected as rejected:
                raise _refused(rejected.code, number) from None
            except ConcurrencyConflict as conflict:
                lost = conflict.message
            else:
                return done.seq
        raise Unavailable(lost)  # scripts give up on other answers than 503


def _refused(code: str, number: str) -> InvalidRequest:
    name, reason = _REFUSALS[code]
    return InvalidRequest(WRONG_DATA, {name or number: [reason]})


def _check(found: Found) -> None:
    """Raise InvalidRequest if the job accepts no reports by this key."""
    if found.job_state is None:
        raise _refused("UNKNOWN_JOB", "simulation_id")
    if found.platform != BATCH:
        raise _refused(batch.NOT_BATCH, "simulation_id")
    if found.void:
        raise _refused(batch.REVOKED, "simulation_id")
    if found.job_state == "CANCELED":
        raise _refused(batch.CANCELED, "simulation_id")


def _says_more(update: TaskUpdate, found: Found) -> bool:
    """Return whether a report says more than the rows, progress apart."""
    if found.settled or found.job_state in ("COMPLETED", "FAILED"):
        return False
    if not 0 <= update.index < found.n_tasks or found.task_state in batch.ENDS:
        return False
    known = found.requested or share_of_primaries(found.primaries, found.n_tasks, update.index)
    return (
        update.state in batch.ENDS
        or (update.state == "RUNNING" and found.task_state == "PENDING")
        or (update.started_at is not None and not found.started)
        or (update.ended_at is not None and not found.ended)
        or (found.requested is None and (update.requested or 0) > known)
    )


def _report(update: TaskUpdate, found: Found) -> TaskReport:
    return TaskReport(
        update.index,
        update.state,
        update.requested,
        found.simulated,
        update.started_at,
        update.ended_at,
    )


def _texts(log: Mapping[str, Any] | None) -> dict[str, str]:
    """Return a log as texts by name: scripts also send objects and lists.

    Equal logs are equal texts, however their members are ordered.
    """
    return {
        name: value
        if isinstance(value, str)
        else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        for name, value in (log or {}).items()
    }
