"""Queries of the dispatcher: waiting tasks, and numbers of leased ones.

Every statement here walks the index ``task_open`` from one lane, user or job to the next, so its
cost depends on lanes, users and free slots, not on how many tasks wait or have ended. PostgreSQL
has no built-in loose index scan; the recursive query is the one of its wiki.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)

from kerma_common.contracts.rpc_runner import Lane
from kerma_runner.read.models import OPEN, QUEUED, TASK, WORKER, WORKER_HEARTBEAT

if TYPE_CHECKING:
    from sqlalchemy import TableValuedAlias
    from sqlalchemy.types import TypeEngine

    from kerma_common.db.reads import Reads

COUNTED = 5_000
"""Tasks that are counted per lane; no pool has as many slots."""
SPARE = 2
"""Factor by which each job is read beyond its share: jobs have unequal numbers of tasks left."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that may be dispatched now, its number of leases so far, and its trace context."""

    job_id: str
    index: int
    attempt: int
    leases: int
    trace: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LaneDemand:
    """Waiting tasks, leased tasks and slots of living workers of one lane.

    Tasks are counted up to ``COUNTED``. The slots of a worker count in every lane of its engines.
    """

    lane: Lane
    queued: int
    held: int
    slots: int


Queues = Mapping[str, Mapping[str, Sequence[Waiting]]]
"""User to job to its tasks in order; jobs are ordered by arrival."""


class OpenTasks:
    """Queries of the dispatcher, with a cost that the length of the queue does not change."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._counts = reads.statement(_counts())
        self._offers = reads.statement(_offers())
        self._jobs = reads.statement(_jobs())
        self._first = reads.statement(_first())
        self._still = reads.statement(_still())
        self._next_due = reads.statement(_next_due())

    async def demand(self, now: datetime, alive: timedelta) -> tuple[LaneDemand, ...]:
        """Return the demand per lane; a worker counts when it was heard within ``alive``."""
        counts = await self._reads.all(self._counts)
        offers = await self._reads.all(self._offers, since=now - alive)
        tasks: dict[Lane, dict[bool, int]] = {}
        for resource_class, engine, state, n in counts:
            of_lane = tasks.setdefault(Lane(resource_class, engine), {})
            waits = state == "QUEUED"
            of_lane[waits] = of_lane.get(waits, 0) + n
        slots = {Lane(resource_class, engine): int(n) for resource_class, engine, n in offers}
        return tuple(
            LaneDemand(lane, of.get(True, 0), of.get(False, 0), slots.get(lane, 0))
            for lane in [*tasks, *(lane for lane in slots if lane not in tasks)]
            for of in (tasks.get(lane, {}),)
        )

    async def waiting(
        self, lane: Lane, now: datetime, room: int, out: Collection[tuple[str, int]]
    ) -> Queues:
        """Return tasks that may run and are not ``out``: enough of every user to fill ``room``.

        The oldest ``room`` jobs of each user are read. When a job has fewer tasks left than its
        share, the answer may hold fewer than ``room`` tasks, but it is empty only when no task may
        run.
        """
        aside = Counter(job_id for job_id, _ in out)
        of_lane = {"class": lane.resource_class, "engine": lane.engine, "now": now}
        jobs = await self._reads.all(self._jobs, **of_lane, of_each=room + len(aside))
        if not jobs:
            return {}
        parts = Counter(owner for owner, _ in jobs)
        tasks = await self._reads.all(
            self._first,
            **of_lane,
            owners=[owner for owner, _ in jobs],
            job_ids=[job_id for _, job_id in jobs],
            limits=[-(-SPARE * room // parts[owner]) + aside[job_id] for owner, job_id in jobs],
        )
        queues: dict[str, dict[str, list[Waiting]]] = {}
        for owner, job_id, *task in tasks:
            waiting = Waiting(job_id, *task)
            if (job_id, waiting.index) not in out:
                queues.setdefault(owner, {}).setdefault(job_id, []).append(waiting)
        return queues

    async def still(self, tasks: Collection[Waiting]) -> set[Waiting]:
        """Return those of ``tasks`` that still wait and have had no lease since."""
        if not tasks:
            return set()
        rows = await self._reads.all(
            self._still,
            job_ids=[task.job_id for task in tasks],
            indexes=[task.index for task in tasks],
        )
        return {Waiting(*row) for row in rows} & set(tasks)

    async def next_due(self, now: datetime) -> datetime | None:
        """Return the time at which the next back-off ends."""
        found = await self._reads.first(self._next_due, now=now)
        due: datetime | None = found[0] if found else None
        return due


def _counts() -> Select[Any]:
    """Count tasks by lane and state."""
    place = (TASK.c.resource_class, TASK.c.engine, TASK.c.state)
    start = select(*place).where(OPEN).order_by(*place).limit(1).subquery("start")
    walk = select(start).cte("walk", recursive=True)
    after = tuple_(*place) > tuple_(*walk.c)
    following = select(*place).where(OPEN, after).order_by(*place).limit(1).lateral("following")
    walk = walk.union_all(select(following).select_from(walk.join(following, true())))
    some: Select[Any] = select(literal_column("1")).where(
        OPEN, *(column == walk.c[column.name] for column in place)
    )
    counted = some.correlate(walk).limit(COUNTED).subquery("counted")
    n = select(func.count()).select_from(counted).scalar_subquery()
    return select(*walk.c, n.label("n"))


def _offers() -> Select[Any]:
    """Count slots by lane, of workers heard since ``since``."""
    living = WORKER.join(WORKER_HEARTBEAT, WORKER_HEARTBEAT.c.worker == WORKER.c.worker)
    offers = (
        select(
            WORKER.c.resource_class,
            func.jsonb_object_keys(WORKER.c.engines).label("engine"),
            WORKER.c.slots,
        )
        .select_from(living)
        .where(WORKER_HEARTBEAT.c.seen > bindparam("since"))
        .subquery()
    )
    lane = (offers.c.resource_class, offers.c.engine)
    return select(*lane, func.sum(offers.c.slots).label("slots")).group_by(*lane)


def _still() -> Select[Any]:
    """Select those of ``job_ids`` and ``indexes`` that wait, with attempt and lease."""
    asked = _listed(("job_ids", Text), ("indexes", Integer))
    # the limit keeps PostgreSQL from reading and joining all waiting tasks
    found = (
        select(TASK.c.job_id, TASK.c.index.label("n"), TASK.c.attempt, TASK.c.lease)
        .where(TASK.c.job_id == asked.c.job_ids, TASK.c.index == asked.c.indexes)
        .where(TASK.c.state == QUEUED)
        .limit(1)
        .lateral("found")
    )
    return select(found).select_from(asked.join(found, true()))


def _next_due() -> Select[Any]:
    return select(func.min(TASK.c.not_before)).where(
        TASK.c.state == QUEUED, TASK.c.not_before > bindparam("now")
    )


def _may_run() -> ColumnElement[bool]:
    """Select tasks of a lane, ``class`` and ``engine``, that are not backing off at ``now``."""
    return and_(
        TASK.c.state == QUEUED,
        TASK.c.resource_class == bindparam("class"),
        TASK.c.engine == bindparam("engine"),
        or_(TASK.c.not_before.is_(None), TASK.c.not_before <= bindparam("now")),
    )


def _listed(*columns: tuple[str, type[TypeEngine[Any]]]) -> TableValuedAlias:
    """Return rows made of array parameters, with their ``place``."""
    arrays = (bindparam(name, type_=ARRAY(kind)) for name, kind in columns)
    names = (name for name, _ in columns)
    listed = func.unnest(*arrays).table_valued(*names, with_ordinality="place")
    return listed.render_derived("asked")


def _jobs() -> Select[Any]:
    """Select users with tasks that may run, and up to ``of_each`` jobs of each."""
    may_run = _may_run()

    def least(column: ColumnElement[str], *beyond: ColumnElement[bool]) -> ColumnElement[str]:
        return select(func.min(column)).where(may_run, *beyond).scalar_subquery()

    users = select(least(TASK.c.owner).label("owner")).cte("users", recursive=True)
    following = least(TASK.c.owner, TASK.c.owner > users.c.owner)
    users = users.union_all(select(following).where(users.c.owner.is_not(None)))
    first = least(TASK.c.job_id, TASK.c.owner == users.c.owner)
    start = select(users.c.owner, first.label("job_id"), literal(1).label("n"))
    jobs: CTE = start.where(users.c.owner.is_not(None)).cte("jobs", recursive=True)
    beyond = (TASK.c.owner == jobs.c.owner, TASK.c.job_id > jobs.c.job_id)
    again = select(jobs.c.owner, least(TASK.c.job_id, *beyond), jobs.c.n + 1)
    jobs = jobs.union_all(again.where(jobs.c.job_id.is_not(None), jobs.c.n < bindparam("of_each")))
    return (
        select(jobs.c.owner, jobs.c.job_id)
        .where(jobs.c.job_id.is_not(None))
        .order_by(jobs.c.job_id)
    )


def _first() -> Select[Any]:
    """Select the first tasks of each of ``job_ids``, in that order, as many as ``limits`` says."""
    asked = _listed(("owners", Text), ("job_ids", Text), ("limits", Integer))
    columns = (TASK.c.index.label("n"), TASK.c.attempt, TASK.c.lease, TASK.c.trace)
    same = (TASK.c.owner == asked.c.owners, TASK.c.job_id == asked.c.job_ids)
    tasks = (
        select(*columns)
        .where(_may_run(), *same)
        .order_by(TASK.c.index)
        .limit(asked.c.limits)
        .lateral("tasks")
    )
    return (
        select(asked.c.owners.label("owner"), asked.c.job_ids.label("job_id"), *tasks.c)
        .select_from(asked.join(tasks, true()))
        .order_by(asked.c.place, tasks.c.n)
    )
