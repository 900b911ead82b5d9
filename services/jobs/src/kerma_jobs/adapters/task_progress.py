"""Progress that scripts on clusters report: rows beside the read model, written in groups.

What a task has simulated is no event: a job would fill the log with numbers that are worthless a
minute later. It is a row that a statement of the jobs service joins, so it is durable and visible
once a report is answered. The rows are in no event, hence not in the read model, which is rebuilt.

One statement writes what many callers reported, and reads what decides whether a report is accepted
and whether it says more than the rows do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Float,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    column,
    delete,
    false,
    func,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert

from kerma_common.db.connections import Connections, Statement, rendered
from kerma_jobs.app.ports import Found, Progressed
from kerma_jobs.domain.batch import ENDS
from kerma_jobs.domain.commands import EndOverdueJob
from kerma_jobs.domain.state import BATCH, TERMINAL
from kerma_jobs.read.models import JOB, TASK
from kerma_jobs.read.progress import TASK_PROGRESS

_TIME = DateTime(timezone=True)

_GIVEN = (
    func.unnest(
        bindparam("jobs", type_=ARRAY(Text)),
        bindparam("indices", type_=ARRAY(Integer)),
        bindparam("simulated", type_=ARRAY(BigInteger)),
        bindparam("etas", type_=ARRAY(Float)),
        bindparam("issued", type_=ARRAY(_TIME)),
    )
    .table_valued(
        column("job_id", Text),
        column("index", Integer),
        column("simulated", BigInteger),
        column("eta_seconds", Float),
        column("issued_at", _TIME),
        with_ordinality="n",
    )
    .render_derived("given")
)


def _other_than(state: ColumnElement[Any], states: Iterable[str]) -> list[ColumnElement[bool]]:
    # a list in one parameter would be rendered anew for every execution
    return [state != str(other) for other in sorted(states)]


_VOID = func.coalesce(_GIVEN.c.issued_at < JOB.c.keys_from, false())
_TASK_STATE = func.coalesce(TASK.c.state, "PENDING")
_FOUND = (
    select(
        _GIVEN.c.n,
        _GIVEN.c.job_id,
        _GIVEN.c.index,
        _GIVEN.c.simulated,
        _GIVEN.c.eta_seconds,
        JOB.c.shown_state.label("job_state"),
        JOB.c.platform,
        JOB.c.n_tasks,
        JOB.c.primaries,
        _VOID.label("void"),
        JOB.c.tasks_ended_at.is_not(None).label("settled"),
        _TASK_STATE.label("task_state"),
        TASK.c.started_at.is_not(None).label("started"),
        TASK.c.ended_at.is_not(None).label("ended"),
        TASK.c.requested,
        and_(
            JOB.c.platform == BATCH,
            *_other_than(JOB.c.shown_state, TERMINAL),
            JOB.c.tasks_ended_at.is_(None),
            not_(_VOID),
            _GIVEN.c.index >= 0,
            _GIVEN.c.index < JOB.c.n_tasks,
            *_other_than(_TASK_STATE, ENDS),
        ).label("open"),
    )
    .select_from(
        _GIVEN.outerjoin(JOB, JOB.c.job_id == _GIVEN.c.job_id).outerjoin(
            TASK, and_(TASK.c.job_id == _GIVEN.c.job_id, TASK.c.index == _GIVEN.c.index)
        )
    )
    .cte("found")
)
# in the order of the key, so that two processes never wait for each other's rows
_FURTHEST = (
    select(
        _FOUND.c.job_id,
        _FOUND.c.index,
        _FOUND.c.simulated,
        _FOUND.c.eta_seconds,
        func.clock_timestamp(),
    )
    .where(_FOUND.c.open)
    .ext(distinct_on(_FOUND.c.job_id, _FOUND.c.index))
    .order_by(_FOUND.c.job_id, _FOUND.c.index, _FOUND.c.simulated.desc(), _FOUND.c.n.desc())
)
_INSERT = insert(TASK_PROGRESS).from_select(list(TASK_PROGRESS.c), _FURTHEST)
_NEW = _INSERT.excluded
_WRITTEN = (
    _INSERT.on_conflict_do_update(
        index_elements=list(TASK_PROGRESS.primary_key),
        set_={
            "simulated": func.greatest(TASK_PROGRESS.c.simulated, _NEW.simulated),
            # 0 primaries: the report says nothing about them, yet maybe about the time
            "eta_seconds": case(
                (
                    or_(_NEW.simulated >= TASK_PROGRESS.c.simulated, _NEW.simulated == 0),
                    func.coalesce(_NEW.eta_seconds, TASK_PROGRESS.c.eta_seconds),
                ),
                else_=TASK_PROGRESS.c.eta_seconds,
            ),
            "reported_at": _NEW.reported_at,
        },
    )
    .returning(TASK_PROGRESS.c.job_id, TASK_PROGRESS.c.index, TASK_PROGRESS.c.simulated)
    .cte("written")
)
_REPORT = (
    select(
        _FOUND.c.job_state,
        _FOUND.c.platform,
        _FOUND.c.n_tasks,
        _FOUND.c.primaries,
        _FOUND.c.void,
        _FOUND.c.settled,
        _FOUND.c.task_state,
        _FOUND.c.started,
        _FOUND.c.ended,
        _FOUND.c.requested,
        func.coalesce(_WRITTEN.c.simulated, 0),
    )
    .select_from(
        _FOUND.outerjoin(
            _WRITTEN,
            and_(_WRITTEN.c.job_id == _FOUND.c.job_id, _WRITTEN.c.index == _FOUND.c.index),
        )
    )
    .order_by(_FOUND.c.n)
)
_HEARD = (
    select(TASK_PROGRESS.c.index)
    .where(
        TASK_PROGRESS.c.job_id == bindparam("job"),
        TASK_PROGRESS.c.reported_at >= bindparam("since", type_=_TIME),
    )
    .limit(1)
)
_FORGET = delete(TASK_PROGRESS).where(TASK_PROGRESS.c.job_id == bindparam("job"))


class ProgressRows:
    """See ``Progress``. ``schema`` is that of the read model."""

    def __init__(self, connections: Connections, schema: str) -> None:
        self._connections = connections
        self._report: Statement = rendered(_REPORT, schema)
        self._forget: Statement = rendered(_FORGET, schema)
        self._heard: Statement = rendered(_HEARD, schema)

    async def report(self, reports: Sequence[Progressed]) -> list[Found]:
        """See ``Progress``."""
        async with self._connections.lend() as connection:
            cursor = await self._report.execute(
                connection,
                jobs=[report.job_id for report in reports],
                indices=[report.index for report in reports],
                simulated=[report.simulated for report in reports],
                etas=[report.eta_seconds for report in reports],
                issued=[report.issued_at for report in reports],
            )
            return [Found(*row) for row in await cursor.fetchall()]

    async def heard_since(self, end: EndOverdueJob) -> bool:
        """Return whether progress was reported since the job is said to be silent."""
        if end.silent_since is None:
            return False
        async with self._connections.lend() as connection:
            cursor = await self._heard.execute(connection, job=end.job_id, since=end.silent_since)
            return await cursor.fetchone() is not None

    async def forget(self, job_id: str) -> None:
        """See ``Progress``."""
        async with self._connections.lend() as connection:
            await self._forget.execute(connection, job=job_id)
