"""Queries on jobs; an answer on one job is one statement, so one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Select, Text, bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts.ids import split_primaries
from kerma_common.contracts.refs import Ref
from kerma_jobs.domain.offers import Offer
from kerma_jobs.read.models import JOB, OFFER, TASK

AT_A_TIME = 500
"""Tasks that are handled before other requests get a turn."""

ORDERS = {"start_time": JOB.c.submitted_at, "end_time": JOB.c.ended_at}


@dataclass(frozen=True, slots=True)
class JobHead:
    """What is needed to authorise and answer a request on one job.

    ``engine`` runs the job; it differs from ``sim_type`` for a substitute. ``offered`` is whether a
    worker offers that engine now.
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
    input_ref: Ref
    project_ref: Ref | None
    tasks_merged: int | None
    primaries_merged: int | None
    partial: bool
    failure: str | None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task with its ``requested`` and ``simulated`` primaries."""

    index: int
    requested: int
    state: str = "PENDING"
    lease: int = 0
    simulated: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job in a user's list."""

    job_id: str
    title: str
    submitted_at: datetime
    ended_at: datetime | None
    platform: str
    input_kind: str
    sim_type: str
    state: str


_SAME = JOB.alias()
# depends on the parameter, not on the row, so it is evaluated once, not per task
_ENGINE = select(_SAME.c.engine).where(_SAME.c.job_id == bindparam("job")).scalar_subquery()
_OFFERED = exists().where(OFFER.c.engines.has_key(_ENGINE))
_HEAD = (
    JOB.c.job_id,
    JOB.c.owner,
    JOB.c.shown_state,
    JOB.c.platform,
    JOB.c.sim_type,
    JOB.c.engine,
    _OFFERED,
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
            )
        ).cast(Text)
    )
    .where(TASK.c.job_id == JOB.c.job_id)
    .correlate(JOB)
    .scalar_subquery()
)


# built once: for statements this small, building takes as long as executing
_FIND = select(*_HEAD).where(JOB.c.job_id == bindparam("job"), JOB.c.state.is_not(None))
_STATUS = select(*_HEAD, _TASKS).where(JOB.c.job_id == bindparam("job"), JOB.c.state.is_not(None))


def _head(row: Sequence[Any]) -> JobHead:
    before, refs, after = row[:_REFS], row[_REFS : _REFS + 4], row[_REFS + 4 : len(_HEAD)]
    sha, size, project_sha, project_size = refs
    project = Ref(project_sha, project_size) if project_sha is not None else None
    fields: list[Any] = [*before, Ref(sha, size), project, *after]
    return JobHead(*fields)


async def _tasks(job: JobHead, told: Sequence[Sequence[Any]]) -> list[TaskRow]:
    """Return all tasks ordered by index; those without a row wait."""
    heard = {task[0]: task for task in told}
    tasks = []
    for index, requested in enumerate(split_primaries(job.primaries, job.n_tasks)):
        if index % AT_A_TIME == AT_A_TIME - 1:
            await asyncio.sleep(0)  # let other requests in
        if (task := heard.get(index)) is None:
            tasks.append(TaskRow(index, requested))
            continue
        _, state, lease, simulated, *times = task
        tasks.append(TaskRow(index, requested, state, lease, simulated, *map(_time, times)))
    return tasks


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class JobQueries:
    """Queries on the jobs schema. They return None for a job that does not exist."""

    db: AsyncEngine

    async def head(self, job_id: str) -> JobHead | None:
        """Return the job without its tasks."""
        async with self.db.connect() as connection:
            row = (await connection.execute(_FIND, {"job": job_id})).first()
        return _head(tuple(row)) if row else None

    async def status(self, job_id: str) -> tuple[JobHead, list[TaskRow]] | None:
        """Return the job and its tasks ordered by index."""
        async with self.db.connect() as connection:
            row = (await connection.execute(_STATUS, {"job": job_id})).first()
        if row is None:
            return None
        *columns, told = row
        head = _head(columns)
        return head, await _tasks(head, orjson.loads(told) if told is not None else [])

    async def offers(self) -> Sequence[Offer]:
        """See ``Offers``."""
        found = select(OFFER.c.engines, OFFER.c.substitutes).order_by(OFFER.c.worker)
        async with self.db.connect() as connection:
            return [Offer(*row) for row in await connection.execute(found)]

    async def page(
        self,
        owner: str,
        *,
        order_by: str,
        descending: bool,
        states: Sequence[str] | None,
        limit: int,
        offset: int,
    ) -> tuple[int, list[ListedJob]]:
        """Return how many jobs match, and one page of them; equal times are ordered by job id."""
        matching = [JOB.c.owner == owner, JOB.c.state.is_not(None)]
        if states is not None:
            matching.append(JOB.c.shown_state.in_(states))
        column = ORDERS[order_by]
        order = (
            (column.desc().nulls_first(), JOB.c.job_id.desc())
            if descending
            else (column.asc().nulls_last(), JOB.c.job_id.asc())
        )
        count = select(func.count()).select_from(JOB).where(*matching)
        listed: Select[Any] = (
            select(
                JOB.c.job_id,
                JOB.c.title,
                JOB.c.submitted_at,
                JOB.c.ended_at,
                JOB.c.platform,
                JOB.c.input_kind,
                JOB.c.sim_type,
                JOB.c.shown_state,
                count.scalar_subquery(),
            )
            .where(*matching)
            .order_by(*order)
            .limit(limit)
            .offset(offset)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(listed)).all()
            if not rows:  # no row beyond the last page holds the number
                return (await connection.execute(count)).scalar_one(), []
        return rows[0][-1], [ListedJob(*row[:-1]) for row in rows]
