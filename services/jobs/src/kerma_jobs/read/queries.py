"""Queries on one job; an answer is one statement, so one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    Text,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    select,
)

from kerma_common.contracts.ids import split_primaries
from kerma_common.contracts.refs import Ref
from kerma_common.db.connections import Statement
from kerma_common.db.reads import Reads
from kerma_jobs.domain.offers import Offer
from kerma_jobs.domain.state import BATCH
from kerma_jobs.read.models import DELETED, JOB, OFFER, TASK
from kerma_jobs.read.progress import TASK_PROGRESS

AT_A_TIME = 500
"""Tasks that are handled before other requests get a turn."""


@dataclass(frozen=True, slots=True)
class JobHead:
    """What is needed to authorise and answer a request on one job.

    ``engine`` runs the job; it differs from ``sim_type`` for a substitute. ``offered`` is whether a
    worker offers that engine now. ``origin`` is the system that ran the job, if not this one; such a
    job may have no inputs. ``version`` is that of the rows of the job and its tasks: if it is
    the same in two answers, so are the rows.
    """

    job_id: str
    owner: str
    state: str
    platform: str
    sim_type: str
    engine: str
    offered: bool
    input_kind: str
    primaries: int
    n_tasks: int
    input_ref: Ref | None
    project_ref: Ref | None
    tasks_merged: int | None
    primaries_merged: int | None
    partial: bool
    failure: str | None
    origin: str
    cluster_name: str | None
    tasks_ended_at: datetime | None
    version: str
    title: str
    submitted_at: datetime
    ended_at: datetime | None
    engine_version: str


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task with its ``requested`` and ``simulated`` primaries.

    ``eta_seconds`` is known of tasks on a cluster only.
    """

    index: int
    requested: int
    state: str = "PENDING"
    lease: int = 0
    simulated: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    eta_seconds: float | None = None


def number_of(job: JobHead, task: TaskRow) -> int:
    """Return the number by which clients know a task: from 0, on a cluster from 1 as its scripts.

    A job that another system ran keeps the numbers that it had there.
    """
    return task.index + (job.platform == BATCH and not job.origin)


_SAME = JOB.alias()
# depends on the parameter, not on the row, so it is evaluated once, not per task
_ENGINE = select(_SAME.c.engine).where(_SAME.c.job_id == bindparam("job")).scalar_subquery()
# The transaction that wrote the row last; a rebuilt table has another number, and a restored
# database another last event.
_VERSION = func.concat(
    literal_column("job.tableoid"),
    "-",
    literal_column("job.xmin"),
    "-",
    JOB.c.tasks_seq,
    "-",
    JOB.c.seq,
)
OFFERED = exists().where(OFFER.c.engines.has_key(_ENGINE))
HEAD = (
    JOB.c.job_id,
    JOB.c.owner,
    JOB.c.shown_state,
    JOB.c.platform,
    JOB.c.sim_type,
    JOB.c.engine,
    OFFERED,
    JOB.c.input_kind,
    JOB.c.primaries,
    JOB.c.n_tasks,
    JOB.c.input_sha256,
    JOB.c.input_size,
    JOB.c.project_sha256,
    JOB.c.project_size,
    JOB.c.tasks_merged,
    JOB.c.primaries_merged,
    JOB.c.partial,
    JOB.c.failure,
    JOB.c.origin,
    JOB.c.cluster_name,
    JOB.c.tasks_ended_at,
    _VERSION,
    JOB.c.title,
    JOB.c.submitted_at,
    JOB.c.ended_at,
    JOB.c.engine_version,
)
_REFS = 10  # columns before those of the blobs
# aggregated into one value: of ten thousand rows, most time goes into decoding them
_TASKS = (
    select(
        func.json_agg(
            func.json_build_array(
                TASK.c.index,
                TASK.c.state,
                TASK.c.lease,
                TASK.c.simulated,
                func.extract("epoch", TASK.c.started_at),
                func.extract("epoch", TASK.c.ended_at),
                func.extract("epoch", TASK.c.updated_at),
                TASK.c.requested,
            )
        ).cast(Text)
    )
    .where(TASK.c.job_id == JOB.c.job_id)
    .correlate(JOB)
    .scalar_subquery()
)


_WAS_DELETED = select(DELETED.c.owner).where(DELETED.c.job_id == bindparam("job"))
# Only jobs on a cluster have such rows.
_PROGRESS = case(
    (
        JOB.c.platform == BATCH,
        select(
            func.json_agg(
                func.json_build_array(
                    TASK_PROGRESS.c.index,
                    TASK_PROGRESS.c.simulated,
                    TASK_PROGRESS.c.eta_seconds,
                    func.extract("epoch", TASK_PROGRESS.c.reported_at),
                )
            ).cast(Text)
        )
        .where(TASK_PROGRESS.c.job_id == JOB.c.job_id)
        .correlate(JOB)
        .scalar_subquery(),
    )
)


_FIND = select(*HEAD).where(JOB.c.job_id == bindparam("job"), JOB.c.state.is_not(None))
_STATUS = select(*HEAD, _TASKS, _PROGRESS).where(
    JOB.c.job_id == bindparam("job"), JOB.c.state.is_not(None)
)


def head_of(row: Sequence[Any]) -> JobHead:
    """Return the job of a row of ``HEAD``."""
    before, refs, after = row[:_REFS], row[_REFS : _REFS + 4], row[_REFS + 4 : len(HEAD)]
    sha, size, project_sha, project_size = refs
    inputs = Ref(sha, size) if sha is not None else None
    project = Ref(project_sha, project_size) if project_sha is not None else None
    fields: list[Any] = [*before, inputs, project, *after]
    return JobHead(*fields)


async def _tasks(
    job: JobHead, stored: Sequence[Sequence[Any]], progress: Sequence[Sequence[Any]]
) -> list[TaskRow]:
    """Return all tasks ordered by index; those without a row wait."""
    if job.origin:
        return [_stored(task) for task in sorted(stored, key=lambda task: int(task[0]))]
    known = {task[0]: task for task in stored}
    reported = {task[0]: task for task in progress}
    tasks = []
    for index, requested in enumerate(split_primaries(job.primaries, job.n_tasks)):
        if index % AT_A_TIME == AT_A_TIME - 1:
            await asyncio.sleep(0)  # let other requests in
        if (task := known.get(index)) is None:
            row = TaskRow(index, requested)
        else:
            row = _stored(task, requested)
        if (found := reported.get(index)) is not None:
            row = _further(row, found)
        tasks.append(row)
    return tasks


def _stored(task: Sequence[Any], share: int = 0) -> TaskRow:
    number, state, lease, simulated, started, ended, updated, requested = task
    times = _time(started), _time(ended), _time(updated)
    return TaskRow(number, requested or share, state, lease, simulated, *times)


def _further(row: TaskRow, found: Sequence[Any]) -> TaskRow:
    """Return a task with the progress that a cluster reports."""
    _, simulated, eta, seconds = found
    moments = [moment for moment in (row.updated_at, _time(seconds)) if moment is not None]
    return replace(
        row,
        simulated=min(max(row.simulated, simulated), row.requested),
        eta_seconds=eta or None,
        updated_at=max(moments),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


_OFFERS = select(OFFER.c.engines.cast(Text), OFFER.c.substitutes.cast(Text)).order_by(
    OFFER.c.worker
)


@dataclass(slots=True)
class JobQueries:
    """Queries on the jobs schema. They return None for a job that does not exist."""

    reads: Reads
    _find: Statement = field(init=False)
    _status: Statement = field(init=False)
    _offers: Statement = field(init=False)
    _was_deleted: Statement = field(init=False)

    def __post_init__(self) -> None:
        # built once: for statements this small, building takes longer than executing
        self._find, self._status = map(self.reads.statement, (_FIND, _STATUS))
        self._offers = self.reads.statement(_OFFERS)
        self._was_deleted = self.reads.statement(_WAS_DELETED)

    async def head(self, job_id: str) -> JobHead | None:
        """Return the job without its tasks."""
        row = await self.reads.first(self._find, job=job_id)
        return head_of(row) if row else None

    async def status(self, job_id: str) -> tuple[JobHead, list[TaskRow]] | None:
        """Return the job and its tasks ordered by index."""
        row = await self.reads.first(self._status, job=job_id)
        if row is None:
            return None
        *columns, stored, progress = row
        head = head_of(columns)
        return head, await _tasks(
            head, *(orjson.loads(text or b"[]") for text in (stored, progress))
        )

    async def owner_of_deleted(self, job_id: str) -> str | None:
        """Return the owner of a job that is deleted, None for any other."""
        row = await self.reads.first(self._was_deleted, job=job_id)
        return row[0] if row else None

    async def offers(self) -> Sequence[Offer]:
        """See ``Offers``."""
        return [Offer(*map(orjson.loads, row)) for row in await self.reads.all(self._offers)]
