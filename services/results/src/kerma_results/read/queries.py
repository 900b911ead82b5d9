"""Queries on the read model; each answer to a user is one statement, so one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    exists,
    func,
    select,
)
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
    """A stored page, as its row describes it; ``fragment`` is there if it was asked for and is small."""

    number: int
    name: str
    dimension: int
    sha256: str
    size: int
    crc32: int
    raw_size: int
    fragment: bytes | None = None


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


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is asked for: all estimators, or those with this name or index; all pages, or some.

    ``pages`` are inclusive ranges of numbers. ``whole``: with the fragments of small pages.
    """

    name: str | None = None
    index: int | None = None
    pages: Sequence[tuple[int, int]] | None = None
    whole: bool = False

    @property
    def form(self) -> _Form:
        """The form of the statement."""
        return _Form(
            self.name is not None, self.index is not None, self.pages is not None, self.whole
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statement."""
        found: dict[str, Any] = {}
        if self.name is not None:
            found["name"] = self.name
        if self.index is not None:
            found["index"] = self.index
        if self.pages is not None:
            found["firsts"] = [first for first, _ in self.pages]
            found["lasts"] = [last for _, last in self.pages]
        return found


@dataclass(frozen=True, slots=True)
class _Form:
    """What distinguishes statements."""

    named: bool
    numbered: bool
    ranged: bool
    whole: bool


def _estimators(form: _Form) -> Select[Any]:
    """Build the statement for the owner of a job, and for estimators and pages if it is the user."""
    pages = (PAGE.c.job_id == ESTIMATOR.c.job_id) & (PAGE.c.estimator == ESTIMATOR.c.index)
    if form.ranged:
        ranges = (
            func.unnest(_integers("firsts"), _integers("lasts"))
            .table_valued("first", "last")
            .render_derived()
        )
        pages &= exists().where(PAGE.c.number.between(ranges.c.first, ranges.c.last))
    found = (
        ESTIMATOR.join(
            RESULT_SET,
            (RESULT_SET.c.job_id == ESTIMATOR.c.job_id) & (RESULT_SET.c.state == "COMPLETE"),
        )
        .join(
            ESTIMATOR_METADATA,
            (ESTIMATOR_METADATA.c.job_id == ESTIMATOR.c.job_id)
            & (ESTIMATOR_METADATA.c.estimator == ESTIMATOR.c.index),
        )
        .outerjoin(PAGE, pages)
    )
    columns = [ESTIMATOR.c.index, ESTIMATOR.c.name, ESTIMATOR_METADATA.c.body, *_PAGE]
    if form.whole:
        found = found.outerjoin(PAGE_FRAGMENT, _SMALL)
        columns.append(PAGE_FRAGMENT.c.body)
    asked = (ESTIMATOR.c.job_id == JOB_SOURCE.c.job_id) & (JOB_SOURCE.c.owner == bindparam("user"))
    if form.named:
        asked &= ESTIMATOR.c.name == bindparam("name")
    if form.numbered:
        asked &= ESTIMATOR.c.index == bindparam("index")
    return (
        select(JOB_SOURCE.c.owner, *columns)
        .select_from(JOB_SOURCE.outerjoin(found, asked))
        .where(JOB_SOURCE.c.job_id == bindparam("job"), ~JOB_SOURCE.c.deleted)
        .order_by(ESTIMATOR.c.index, PAGE.c.number)
    )


_SMALL: ColumnElement[bool] = (
    (PAGE_FRAGMENT.c.job_id == PAGE.c.job_id)
    & (PAGE_FRAGMENT.c.estimator == PAGE.c.estimator)
    & (PAGE_FRAGMENT.c.number == PAGE.c.number)
    & (PAGE_FRAGMENT.c.part == 0)
    & (PAGE.c.fragment_size <= PART_BYTES)
)


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
    _estimators: dict[_Form, Statement] = field(default_factory=dict, init=False)
    _fragments: Statement = field(init=False)

    def __post_init__(self) -> None:
        self._source = self.reads.statement(_SOURCE)
        self._fragments = self.reads.statement(_fragments())

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

    async def results(
        self, job_id: str, user_id: str, chosen: Chosen
    ) -> tuple[str, list[StoredEstimator]] | None:
        """Return the owner of a job and the chosen estimators in order; None for an unknown job.

        There are estimators if the user is the owner and the results are complete. They hold the
        chosen pages; one without such pages holds none.
        """
        if (statement := self._estimators.get(chosen.form)) is None:
            statement = self.reads.statement(_estimators(chosen.form))
            self._estimators[chosen.form] = statement
        rows = await self.reads.all(statement, job=job_id, user=user_id, **chosen.parameters)
        if not rows:
            return None
        pages: dict[int, list[StoredPage]] = {}
        heads: dict[int, tuple[str, bytes]] = {}
        for _, index, name, metadata, *page in rows:
            if index is not None:
                heads[index] = name, metadata
                pages.setdefault(index, []).extend(
                    [StoredPage(*page)] if page[0] is not None else []
                )
        return rows[0][0], [StoredEstimator(i, *head, tuple(pages[i])) for i, head in heads.items()]

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
