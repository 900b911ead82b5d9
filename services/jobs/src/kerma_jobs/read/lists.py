"""Lists of a user's jobs.

Counting all jobs of a user takes time that grows with their number. So the number is kept with a
version of the set of jobs, which is read from the database for every answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Integer,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    null,
    select,
    true,
)

from kerma_common.db.connections import Statement
from kerma_common.db.reads import Reads, Row
from kerma_jobs.read.models import DELETION, JOB, OWNER

ORDERS = {"start_time": "submitted_at", "end_time": "ended_at"}
OWNERS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job in a user's list; ``engine`` runs it, ``sim_type`` was asked for."""

    job_id: str
    title: str
    submitted_at: datetime
    ended_at: datetime | None
    platform: str
    input_kind: str
    sim_type: str
    engine: str
    engine_version: str
    state: str


@dataclass(frozen=True, slots=True)
class _Kind:
    """What distinguishes statements: the order, and whether states are chosen or jobs counted."""

    order_by: str
    descending: bool
    filtered: bool
    counted: bool


LISTED = (
    JOB.c.job_id,
    JOB.c.title,
    JOB.c.submitted_at,
    JOB.c.ended_at,
    JOB.c.platform,
    JOB.c.input_kind,
    JOB.c.sim_type,
    JOB.c.engine,
    JOB.c.engine_version,
    JOB.c.shown_state,
)
# Rows are written anew by every submission and deletion; a rebuilt table has another number, and a
# restored database another last event.
_SUBMITTED = select(
    func.concat(
        literal_column("job_owner.tableoid"),
        "-",
        literal_column("job_owner.xmin"),
        "-",
        OWNER.c.submitted_seq,
    )
).where(OWNER.c.owner == bindparam("owner"))
_DELETED = select(func.concat(literal_column("job_deletion.xmin"), "-", DELETION.c.seq))
_VERSION = func.concat(_SUBMITTED.scalar_subquery(), "/", _DELETED.scalar_subquery())


def _statement(kind: _Kind) -> Select[Any]:
    """Build a statement for the version, the number of jobs, and one page of them."""
    matching = [JOB.c.owner == bindparam("owner"), JOB.c.state.is_not(None)]
    if kind.filtered:
        states: BindParameter[Any] = bindparam("states", type_=ARRAY(Text))
        matching.append(JOB.c.shown_state == func.any(states))
    count = select(func.count()).select_from(JOB).where(*matching).scalar_subquery()
    number = count if kind.counted else null()
    listed = (
        select(*LISTED)
        .where(*matching)
        .order_by(*_order(JOB.c, kind))
        .limit(bindparam("limit", type_=Integer))
        .offset(bindparam("skipped", type_=Integer))
        .subquery()
    )
    # no row beyond the last page could hold version and number
    known = select(_VERSION.label("version"), number.label("number")).subquery()
    return (
        select(known.c.version, known.c.number, *listed.c)
        .select_from(known.outerjoin(listed, true()))
        .order_by(*_order(listed.c, kind))
    )


def _order(of: Any, kind: _Kind) -> tuple[Any, Any]:
    column = of[ORDERS[kind.order_by]]
    if kind.descending:
        return column.desc().nulls_first(), of.job_id.desc()
    return column.asc().nulls_last(), of.job_id.asc()


@dataclass(slots=True)
class JobLists:
    """Queries on the jobs of one user."""

    reads: Reads
    _statements: dict[_Kind, Statement] = field(init=False)
    _numbers: OrderedDict[str, tuple[str, int]] = field(default_factory=OrderedDict, init=False)

    def __post_init__(self) -> None:
        both = (True, False)
        kinds = [_Kind(o, d, f, c) for o in ORDERS for d in both for f in both for c in both]
        self._statements = {kind: self.reads.statement(_statement(kind)) for kind in kinds}

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

        async def rows(*, counted: bool) -> list[Row]:
            kind = _Kind(order_by, descending, states is not None, counted)
            chosen = {} if states is None else {"states": list(states)}
            return await self.reads.all(
                self._statements[kind], owner=owner, limit=limit, skipped=offset, **chosen
            )

        if states is None and owner in self._numbers:
            found = await rows(counted=False)
            version, number = self._numbers.get(owner, ("", 0))
            if found[0][0] == version:
                self._numbers.move_to_end(owner)
                return number, _listed(found)
        found = await rows(counted=True)
        version, number = found[0][:2]
        if states is None:
            self._keep(owner, version, number)
        return number, _listed(found)

    def _keep(self, owner: str, version: str, number: int) -> None:
        self._numbers[owner] = (version, number)
        self._numbers.move_to_end(owner)
        if len(self._numbers) > OWNERS_KEPT:
            self._numbers.popitem(last=False)


def _listed(rows: Sequence[Row]) -> list[ListedJob]:
    return [ListedJob(*row[2:]) for row in rows if row[2] is not None]
