"""Attempts of a job's tasks: why they failed, and where their logs are. One statement, one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Subquery, and_, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts.refs import Ref
from kerma_results.read.models import DELIVERED_LOG, JOB_SOURCE, REPORTED_LOG, TASK_LOG

_OF_JOB = 5
"""Columns of the job, before those of an attempt."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The latest of ``number`` attempts that failed alike, in tasks from ``first`` to ``last``.

    A succeeded attempt stands for itself, and has neither code nor reason.
    """

    index: int
    attempt: int
    failed: bool
    code: str | None
    reason: str | None
    number: int
    first: int
    last: int
    log: Ref | None


@dataclass(frozen=True, slots=True)
class Attempts:
    """Why the job failed, if it did, and its attempts: failed ones first, the latest first.

    ``imported`` are the logs of a job that another system ran.
    """

    failure: tuple[str, str] | None
    shown: tuple[Attempt, ...]
    imported: Ref | None = None


@dataclass(frozen=True, slots=True)
class AttemptQueries:
    """Queries on the attempts of one job, and on logs that were delivered from outside."""

    db: AsyncEngine

    async def delivered(self, job_id: str, limit: int) -> list[Ref]:
        """Return the last ``limit`` logs of reports, and of those that came alone, the last first."""
        found = []
        async with self.db.connect() as connection:
            for table, place in (
                (REPORTED_LOG, REPORTED_LOG.c.seq),
                (DELIVERED_LOG, DELIVERED_LOG.c.number),
            ):
                some = (
                    select(table.c.log_sha256, table.c.log_size, table.c.log_media)
                    .where(table.c.job_id == job_id)
                    .order_by(place.desc())
                    .limit(limit)
                )
                found += [Ref(*row) for row in await connection.execute(some)]
        return found

    async def of(self, job_id: str, limit: int) -> Attempts:
        """Return the first ``limit`` attempts that differ."""
        async with self.db.connect() as connection:
            asked = {"job": job_id, "most": limit}
            rows = (await connection.execute(_STATEMENT, asked)).all()
        if not rows:
            return Attempts(None, ())
        code, failure, *imported = rows[0][:_OF_JOB]
        shown = tuple(_attempt(row[_OF_JOB:]) for row in rows if row[_OF_JOB] is not None)
        log = Ref(*imported) if imported[0] is not None else None
        return Attempts((code, failure) if failure is not None else None, shown, log)


def _attempt(row: Any) -> Attempt:
    *columns, sha256, size, media = row
    log = Ref(sha256, size, media) if sha256 is not None else None
    fields: list[Any] = [*columns, log]
    return Attempt(*fields)


def _ranked() -> Subquery:
    """Return the attempts of the job, those that failed alike with their rank and number."""
    alike = (
        TASK_LOG.c.failed,
        TASK_LOG.c.code,
        TASK_LOG.c.reason,
        case((TASK_LOG.c.failed, None), else_=TASK_LOG.c.index),
    )
    # one with a log stands for the others
    order = (TASK_LOG.c.log_sha256.is_(None), TASK_LOG.c.seq.desc())
    return (
        select(
            TASK_LOG,
            func.row_number().over(partition_by=alike, order_by=order).label("rank"),
            func.count().over(partition_by=alike).label("number"),
            func.min(TASK_LOG.c.index).over(partition_by=alike).label("first"),
            func.max(TASK_LOG.c.index).over(partition_by=alike).label("last"),
            func.max(TASK_LOG.c.seq).over(partition_by=alike).label("latest"),
        )
        .where(TASK_LOG.c.job_id == bindparam("job"))
        .subquery()
    )


def _statement() -> Select[Any]:
    """Return the statement for the job and one attempt of each kind."""
    ranked = _ranked()
    of = ranked.c
    job = JOB_SOURCE.c
    return (
        select(
            *(job.failure_code, job.failure, job.log_sha256, job.log_size, job.log_media),
            *(of.index, of.attempt, of.failed, of.code, of.reason, of.number, of.first, of.last),
            *(of.log_sha256, of.log_size, of.log_media),
        )
        .select_from(JOB_SOURCE.outerjoin(ranked, and_(of.job_id == job.job_id, of.rank == 1)))
        .where(job.job_id == bindparam("job"))
        .order_by(
            of.failed.desc(),
            case((of.failed, of.latest)).desc().nulls_last(),
            of.index,
            of.attempt,
        )
        .limit(bindparam("most"))
    )


_STATEMENT = _statement()
