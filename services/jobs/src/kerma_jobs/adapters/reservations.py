"""Quotas without races: submissions under way are reserved in PostgreSQL.

A reservation is made in one transaction that holds a lock of the user. It counts the user's jobs in
the read model and the reservations that the read model does not show yet, and adds its own, so
submissions of one user are decided one after the other, on any number of replicas. That takes two
round trips: all statements, then the end.

A reservation stops counting when the job is in the read model, when the submission fails, or after
``HOLD_SECONDS`` if its process died. Quotas hold exactly while the read model is less than
``HOLD_SECONDS`` behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
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

from kerma_common.db.connections import Connection, Connections, Statement, rendered
from kerma_common.db.sweeping import Stale
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


_owner: BindParameter[str] = bindparam("user")
_job: BindParameter[str] = bindparam("job")
# of jobs that another system ran, the end may be unknown
_active = and_(JOB.c.ended_at.is_(None), JOB.c.state.is_not(None), JOB.c.origin == "")
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
    .where(RESERVATION.c.owner == _owner, _recent, RESERVATION.c.job_id != _job)
    .order_by(RESERVATION.c.at.desc())
    .offset(bindparam("allowed") - 1)
    .limit(1)
)
OVER = Stale(RESERVATION, RESERVATION.c.at < _NOW - max(_HOLD, _WINDOW))
"""Reservations that no longer count."""
_FORGET = delete(RESERVATION).where(RESERVATION.c.owner == _owner, OVER.over)
_ADD = (
    insert(RESERVATION)
    .values(job_id=_job, owner=_owner, at=_NOW, tasks=bindparam("asked"), bytes=bindparam("size"))
    .add_cte(_FORGET.cte("forgotten"))
)
# another try of the same job counts as a submission, but no longer as a job
_ASIDE = (
    update(RESERVATION)
    .where(RESERVATION.c.job_id == _job)
    .values(job_id=RESERVATION.c.job_id + "~" + func.gen_random_uuid().cast(Text), open=False)
)
_RELEASE = update(RESERVATION).where(RESERVATION.c.job_id == _job).values(open=False)


class _Statements:
    """The statements, rendered for the schema of the read model."""

    def __init__(self, schema: str) -> None:
        self.lock = rendered(_LOCK, schema)
        self.count = rendered(_TOGETHER, schema)
        self.started = rendered(_STARTED, schema)
        self.next = rendered(_NEXT, schema)
        self.add = rendered(_ADD, schema)
        self.aside = rendered(_ASIDE, schema)
        self.release = rendered(_RELEASE, schema)


class Reservations:
    """Admits submissions. ``schema`` is that of the read model.

    Requests of one user in this process wait for each other before they take a connection, so that
    one user cannot take them all.
    """

    def __init__(self, connections: Connections, schema: str) -> None:
        self._connections = connections
        self._sql = _Statements(schema)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def reserved(
        self,
        job_id: str,
        owner: str,
        quotas: Quotas,
        *,
        tasks: int,
        size: int,
        again: bool = False,
    ) -> AsyncGenerator[None, None]:
        """See ``Admission``."""
        before = [self._sql.aside] if again else []
        turn = self._turns.get(owner) or asyncio.Lock()
        self._turns[owner] = turn
        async with turn, self._connections.lend() as connection:
            await self._reserve(connection, job_id, owner, quotas, tasks, size, before)
        try:
            yield
        except OutcomeUnknown:
            raise  # the job may exist
        except Exception:
            async with self._connections.lend() as connection:
                await self._sql.release.execute(connection, job=job_id)
            raise

    async def _reserve(
        self,
        connection: Connection,
        job_id: str,
        owner: str,
        quotas: Quotas,
        tasks: int,
        size: int,
        before: Sequence[Statement],
    ) -> None:
        known = {"user": owner, "job": job_id}
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            await self._sql.lock.execute(connection, user=owner)
            for statement in before:
                await statement.execute(connection, job=job_id)
            counted = await self._sql.count.execute(connection, user=owner)
            await self._sql.add.execute(connection, **known, asked=tasks, size=size)
        counts = await counted.fetchone()
        assert counts is not None
        usage = await self._usage(connection, known, counts, quotas, tasks)
        found = exceeded(usage, quotas, tasks=tasks, size=size)
        if found is None:
            await connection.commit()
            return
        await connection.rollback()
        raise QuotaExceeded(
            found.message,
            quota=found.quota,
            used=found.used,
            limit=found.limit,
            retry_after=found.retry_after,
        )

    async def _usage(
        self,
        connection: Connection,
        known: Mapping[str, str],
        counts: Sequence[int],
        quotas: Quotas,
        asked: int,
    ) -> Usage:
        """Return what the user has without the job; ``counts`` are before it was reserved."""
        jobs, tasks, size, recent = counts
        if tasks + asked > quotas.waiting_tasks:
            tasks -= await _scalar(self._sql.started, connection, user=known["user"])
        following = 0.0
        if recent >= quotas.submissions_per_minute > 0:
            allowed = quotas.submissions_per_minute
            following = float(await _scalar(self._sql.next, connection, **known, allowed=allowed))
        return Usage(jobs, tasks, size, recent, following)


async def _scalar(statement: Statement, connection: Connection, **parameters: Any) -> Any:
    row = await (await statement.execute(connection, **parameters)).fetchone()
    assert row is not None
    return row[0]
