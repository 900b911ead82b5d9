"""Quotas without races: submissions under way are reserved in PostgreSQL.

A reservation is made in one transaction that holds a lock of the user. It counts the user's jobs in
the read model and the reservations that the read model does not show yet, and adds its own, so
submissions of one user are decided one after the other, on any number of replicas. A reservation
stops counting when the job is in the read model, when the submission fails, or after
``HOLD_SECONDS`` if its process died. Quotas hold exactly while the read model is less than
``HOLD_SECONDS`` behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kerma_common.errors import OutcomeUnknown, QuotaExceeded
from kerma_common.process.tables import process_schema
from kerma_jobs.domain.quotas import WINDOW_SECONDS, Quotas, Usage, exceeded
from kerma_jobs.read.models import ESTIMATOR, JOB, TASK

HOLD_SECONDS = 300
METADATA = MetaData(schema=process_schema("jobs"))
_WINDOW = timedelta(seconds=WINDOW_SECONDS)
_HOLD = timedelta(seconds=HOLD_SECONDS)

RESERVATION = Table(
    "reservation",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False, server_default=text("true")),
    Index("reservation_by_owner", "owner", "at"),
)
"""Submissions of the last minutes; ``open`` ones may become jobs that the rows do not show yet."""

_NOW = func.clock_timestamp()
# losing a reservation in a crash is harmless: afterwards the job exists or it does not
_LOCK = text(
    "SELECT set_config('synchronous_commit', 'off', true),"
    " pg_advisory_xact_lock(hashtextextended('kerma quota ' || :user, 0))"
)


@dataclass(frozen=True, slots=True)
class Reservations:
    """Admits submissions.

    Requests of one user in this process wait for each other before they take a connection, so that
    one user cannot take them all.
    """

    db: AsyncEngine
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    @asynccontextmanager
    async def reserved(
        self, job_id: str, owner: str, quotas: Quotas, *, tasks: int, size: int
    ) -> AsyncGenerator[None, None]:
        """See ``Admission``."""
        turn = self._turns.get(owner) or asyncio.Lock()
        self._turns[owner] = turn
        async with turn:
            await self._reserve(job_id, owner, quotas, tasks, size)
        try:
            yield
        except OutcomeUnknown:
            raise  # the job may exist
        except Exception:
            await self._release(job_id)
            raise

    async def _reserve(
        self, job_id: str, owner: str, quotas: Quotas, tasks: int, size: int
    ) -> None:
        async with self.db.begin() as connection:
            await connection.execute(_LOCK, {"user": owner})
            usage = await _usage(connection, owner, quotas, tasks)
            found = exceeded(usage, quotas, tasks=tasks, size=size)
            if found is not None:
                raise QuotaExceeded(
                    found.message,
                    quota=found.quota,
                    used=found.used,
                    limit=found.limit,
                    retry_after=found.retry_after,
                )
            row = {"job_id": job_id, "owner": owner, "tasks": tasks, "bytes": size, "user": owner}
            await connection.execute(_ADD, row)

    async def _release(self, job_id: str) -> None:
        async with self.db.begin() as connection:
            await connection.execute(_RELEASE, {"job": job_id})


_owner: BindParameter[str] = bindparam("user")
_active = and_(JOB.c.ended_at.is_(None), JOB.c.state.is_not(None))
_of_owner = and_(JOB.c.owner == _owner, JOB.c.state.is_not(None))


def _sum(column: ColumnElement[Any]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0).cast(BigInteger)


_JOBS = (
    select(
        func.count().filter(_active).label("jobs"),
        func.coalesce(func.sum(JOB.c.n_tasks).filter(_active), 0).cast(BigInteger).label("tasks"),
        _sum(JOB.c.input_size + func.coalesce(JOB.c.project_size, 0) + JOB.c.stored_bytes).label(
            "bytes"
        ),
    )
    .where(_of_owner)
    .subquery("shown")
)
_PAGES = (
    select(_sum(ESTIMATOR.c.stored_bytes))
    .join(JOB, JOB.c.job_id == ESTIMATOR.c.job_id)
    .where(_of_owner)
    .scalar_subquery()
)
# computed only if the total number of tasks of active jobs is not small enough already
_STARTED = (
    select(func.count())
    .select_from(TASK)
    .join(JOB, JOB.c.job_id == TASK.c.job_id)
    .where(_of_owner, _active, TASK.c.state != "PENDING")
)
_shown = exists().where(JOB.c.job_id == RESERVATION.c.job_id, JOB.c.state.is_not(None))
_held = and_(RESERVATION.c.open, RESERVATION.c.at > _NOW - _HOLD, ~_shown)
_recent = RESERVATION.c.at > _NOW - _WINDOW
_RESERVED = (
    select(
        func.count().filter(_held).label("jobs"),
        func.coalesce(func.sum(RESERVATION.c.tasks).filter(_held), 0)
        .cast(BigInteger)
        .label("tasks"),
        func.coalesce(func.sum(RESERVATION.c.bytes).filter(_held), 0)
        .cast(BigInteger)
        .label("bytes"),
        func.count().filter(_recent).label("recent"),
    )
    .where(RESERVATION.c.owner == _owner)
    .subquery("reserved")
)
# one statement, so one snapshot: a job that appears between two would be counted by neither
_TOGETHER = select(
    _JOBS.c.jobs + _RESERVED.c.jobs,
    _JOBS.c.tasks + _RESERVED.c.tasks,
    _JOBS.c.bytes + _RESERVED.c.bytes + _PAGES,
    _RESERVED.c.recent,
).select_from(_JOBS.join(_RESERVED, true()))
_NEXT = (
    select(func.extract("epoch", RESERVATION.c.at + _WINDOW - _NOW))
    .where(RESERVATION.c.owner == _owner, _recent)
    .order_by(RESERVATION.c.at.desc())
    .offset(bindparam("allowed") - 1)
    .limit(1)
)
_FORGET = delete(RESERVATION).where(
    RESERVATION.c.owner == _owner, RESERVATION.c.at < _NOW - max(_HOLD, _WINDOW)
)
# in one statement: each costs the user a round trip
_ADD = insert(RESERVATION).values(at=_NOW).add_cte(_FORGET.cte("forgotten"))
_RELEASE = update(RESERVATION).where(RESERVATION.c.job_id == bindparam("job")).values(open=False)


async def _usage(connection: AsyncConnection, owner: str, quotas: Quotas, asked: int) -> Usage:
    """Return what the user has now; ``asked`` tasks are about to be added."""
    known = {"user": owner}
    jobs, tasks, size, recent = (await connection.execute(_TOGETHER, known)).one()
    if tasks + asked > quotas.waiting_tasks:
        tasks -= (await connection.execute(_STARTED, known)).scalar_one()
    following = 0.0
    if recent >= quotas.submissions_per_minute > 0:
        allowed = {**known, "allowed": quotas.submissions_per_minute}
        following = float((await connection.execute(_NEXT, allowed)).scalar_one())
    return Usage(jobs, tasks, size, recent, following)
