"""Queries on the read model; each answer to a user is one statement, so one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BindParameter, Integer, Select, bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts.refs import Ref
from kerma_common.db.connections import Statement
from kerma_common.db.reads import Reads
from kerma_common.projection.rows.tables import CHECKPOINT
from kerma_results.read.models import (
    ESTIMATOR,
    ESTIMATOR_METADATA,
    JOB_SOURCE,
    PAGE,
    PAGE_FRAGMENT,
    RESULT_SET,
    TASK_OUTPUT,
)
from kerma_results.read.project import RESULTS

PART_BYTES = 1 << 20
"""Size of the rows that a fragment is cut into."""
PartKey = tuple[int, int, int]
"""Index of the estimator, number of the page, part of its fragment."""


@dataclass(frozen=True, slots=True)
class JobSource:
    """The origin of a job's results: owner, engine and inputs."""

    owner: str
    engine: str
    input_ref: Ref


@dataclass(frozen=True, slots=True)
class DeliverySource:
    """A job that runs outside of Kerma; see the table for ``ended`` and ``keys_from``."""

    owner: str
    input_ref: Ref
    n_tasks: int
    primaries: int
    ended: str | None
    keys_from: datetime | None


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """The output of one task, to be merged."""

    index: int
    primaries: int
    ref: Ref


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A result set that is not published yet; ``attempt`` is the last one begun."""

    job_id: str
    complete: bool
    tasks: int
    expected: int
    partial: bool
    attempt: int


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A stored page, as its row describes it."""

    number: int
    name: str
    dimension: int
    sha256: str
    size: int
    crc32: int
    raw_size: int


@dataclass(frozen=True, slots=True)
class StoredEstimator:
    """An estimator and the requested ones of its pages, ordered by number."""

    index: int
    name: str
    metadata: bytes
    pages: tuple[StoredPage, ...]


_PAGE = (
    PAGE.c.number,
    PAGE.c.name,
    PAGE.c.dimension,
    PAGE.c.fragment_sha256,
    PAGE.c.fragment_size,
    PAGE.c.crc32,
    PAGE.c.raw_size,
)


_SOURCE = select(
    JOB_SOURCE.c.owner,
    JOB_SOURCE.c.engine,
    JOB_SOURCE.c.input_sha256,
    JOB_SOURCE.c.input_size,
    JOB_SOURCE.c.input_media,
).where(JOB_SOURCE.c.job_id == bindparam("job"), ~JOB_SOURCE.c.deleted)


def _estimators(*, named: bool, numbered: bool) -> Select[Any]:
    """Build the statement for estimators and pages: all, or of one name or of ranges of numbers."""
    pages = (PAGE.c.job_id == ESTIMATOR.c.job_id) & (PAGE.c.estimator == ESTIMATOR.c.index)
    if numbered:
        ranges = (
            func.unnest(_integers("firsts"), _integers("lasts"))
            .table_valued("first", "last")
            .render_derived()
        )
        pages &= exists().where(PAGE.c.number.between(ranges.c.first, ranges.c.last))
    found = (
        select(ESTIMATOR.c.index, ESTIMATOR.c.name, ESTIMATOR_METADATA.c.body, *_PAGE)
        .join(
            RESULT_SET,
            (RESULT_SET.c.job_id == ESTIMATOR.c.job_id) & (RESULT_SET.c.state == "COMPLETE"),
        )
        .join(
            ESTIMATOR_METADATA,
            (ESTIMATOR_METADATA.c.job_id == ESTIMATOR.c.job_id)
            & (ESTIMATOR_METADATA.c.estimator == ESTIMATOR.c.index),
        )
        .outerjoin(PAGE, pages)
        .where(ESTIMATOR.c.job_id == bindparam("job"))
        .order_by(ESTIMATOR.c.index, PAGE.c.number)
    )
    return found.where(ESTIMATOR.c.name == bindparam("name")) if named else found


def _fragments() -> Select[Any]:
    """Build the statement for parts of fragments, by their keys."""
    keys = (
        func.unnest(_integers("estimators"), _integers("numbers"), _integers("parts"))
        .table_valued("estimator", "number", "part")
        .render_derived()
    )
    return select(
        PAGE_FRAGMENT.c.estimator,
        PAGE_FRAGMENT.c.number,
        PAGE_FRAGMENT.c.part,
        PAGE_FRAGMENT.c.body,
    ).where(
        PAGE_FRAGMENT.c.job_id == bindparam("job"),
        PAGE_FRAGMENT.c.estimator == keys.c.estimator,
        PAGE_FRAGMENT.c.number == keys.c.number,
        PAGE_FRAGMENT.c.part == keys.c.part,
    )


def _integers(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=ARRAY(Integer))


@dataclass(slots=True)
class ResultQueries:
    """Queries on the results schema; ``reads`` serves users, ``db`` the merge."""

    db: AsyncEngine
    reads: Reads
    _source: Statement = field(init=False)
    _estimators: dict[tuple[bool, bool], Statement] = field(init=False)
    _fragments: Statement = field(init=False)

    def __post_init__(self) -> None:
        self._source = self.reads.statement(_SOURCE)
        self._fragments = self.reads.statement(_fragments())
        self._estimators = {
            (named, numbered): self.reads.statement(_estimators(named=named, numbered=numbered))
            for named in (True, False)
            for numbered in (True, False)
        }

    async def source(self, job_id: str) -> JobSource | None:
        """Return the job, or None when it is unknown or deleted."""
        row = await self.reads.first(self._source, job=job_id)
        return JobSource(row[0], row[1], Ref(*row[2:])) if row else None

    async def delivery(self, job_id: str, platform: str) -> DeliverySource | None:
        """Return a job of this platform, or None when it is unknown or deleted."""
        found = select(
            JOB_SOURCE.c.owner,
            JOB_SOURCE.c.input_sha256,
            JOB_SOURCE.c.input_size,
            JOB_SOURCE.c.input_media,
            JOB_SOURCE.c.n_tasks,
            JOB_SOURCE.c.primaries,
            JOB_SOURCE.c.ended,
            JOB_SOURCE.c.keys_from,
        ).where(
            JOB_SOURCE.c.job_id == job_id,
            ~JOB_SOURCE.c.deleted,
            JOB_SOURCE.c.platform == platform,
        )
        async with self.db.connect() as connection:
            row = (await connection.execute(found)).first()
        return DeliverySource(row[0], Ref(*row[1:4]), *row[4:]) if row else None

    async def outputs(self, job_id: str) -> list[TaskOutput]:
        """Return the outputs of the succeeded tasks, ordered by index."""
        found = (
            select(
                TASK_OUTPUT.c.index,
                TASK_OUTPUT.c.primaries,
                TASK_OUTPUT.c.output_sha256,
                TASK_OUTPUT.c.output_size,
                TASK_OUTPUT.c.output_media,
            )
            .where(TASK_OUTPUT.c.job_id == job_id)
            .order_by(TASK_OUTPUT.c.index)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return [TaskOutput(row[0], row[1], Ref(*row[2:])) for row in rows]

    async def unfinished(self) -> tuple[int, list[Unfinished]]:
        """Return unfinished result sets, and the position in RESULTS that the answer reflects."""
        position = select(CHECKPOINT.c.seq).where(
            CHECKPOINT.c.name == RESULTS.name, CHECKPOINT.c.stream == "RESULTS"
        )
        waiting = (
            select(
                RESULT_SET.c.job_id,
                RESULT_SET.c.state == "COMPLETE",
                RESULT_SET.c.tasks,
                RESULT_SET.c.expected,
                RESULT_SET.c.partial,
                RESULT_SET.c.attempt,
            )
            .where(~RESULT_SET.c.published, RESULT_SET.c.state != "FAILED")
            .order_by(RESULT_SET.c.job_id)
        )
        async with self.db.connect() as connection:
            # position first: a commit in between is found again from that position
            seq = await connection.scalar(position)
            rows = (await connection.execute(waiting)).all()
        return seq or 0, [Unfinished(*row) for row in rows]

    async def estimators(
        self,
        job_id: str,
        name: str | None = None,
        numbers: Sequence[tuple[int, int]] | None = None,
    ) -> list[StoredEstimator]:
        """Return the estimators of a complete result set in order.

        They hold the pages in the inclusive ranges ``numbers``; one without such pages holds none.
        """
        asked: dict[str, Any] = {"job": job_id}
        if name is not None:
            asked["name"] = name
        if numbers is not None:
            asked["firsts"] = [first for first, _ in numbers]
            asked["lasts"] = [last for _, last in numbers]
        statement = self._estimators[name is not None, numbers is not None]
        rows = await self.reads.all(statement, **asked)
        pages: dict[int, list[StoredPage]] = {}
        for row in rows:
            pages.setdefault(row[0], []).extend(
                [StoredPage(*row[3:])] if row[3] is not None else []
            )
        heads = {row[0]: (row[1], row[2]) for row in rows}
        return [StoredEstimator(i, *head, tuple(pages[i])) for i, head in heads.items()]

    async def fragments(self, job_id: str, keys: Sequence[PartKey]) -> dict[PartKey, bytes]:
        """Return the stored parts of fragments that exist."""
        estimators, numbers, parts = zip(*keys, strict=True) if keys else ((), (), ())
        rows = await self.reads.all(
            self._fragments,
            job=job_id,
            estimators=list(estimators),
            numbers=list(numbers),
            parts=list(parts),
        )
        return {(row[0], row[1], row[2]): row[3] for row in rows}
