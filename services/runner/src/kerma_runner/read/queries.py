"""Questions to the queue of truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from kerma_common.contracts.rpc_runner import HeldLease, Lane
from kerma_runner.domain.leases import LeaseKey
from kerma_runner.read.models import TASK, WORKER, WORKER_HEARTBEAT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

HELD = ("LEASED", "RUNNING")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that may be handed out now, and how many leases it has had."""

    job_id: str
    index: int
    attempt: int
    leases: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the rows say of a task that a worker names in a heartbeat."""

    state: str
    lease: int
    canceling: bool


@dataclass(frozen=True, slots=True)
class LaneDemand:
    """Of one lane: tasks that wait, tasks that are held, slots of living workers.

    The slots of a worker count in every lane of its engines.
    """

    lane: Lane
    queued: int
    held: int
    slots: int


@dataclass(frozen=True, slots=True)
class LivingWorker:
    """What a worker offers; see the event ``WorkerRegistered``."""

    slots: int
    engines: Mapping[str, str]
    digests: Mapping[str, str]
    substitutes: Mapping[str, str]


_LIVING = WORKER.join(WORKER_HEARTBEAT, WORKER_HEARTBEAT.c.worker == WORKER.c.worker)


class QueueRows:
    """The runner's rows, with reads that take one statement each."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db = db

    async def waiting(
        self, lane: Lane, now: datetime, per_job: int
    ) -> Mapping[str, Mapping[str, Sequence[Waiting]]]:
        """Owner to job to its first ``per_job`` tasks that may run; jobs in order of arrival."""
        due = or_(TASK.c.not_before.is_(None), TASK.c.not_before <= now)
        place = func.row_number().over(partition_by=TASK.c.job_id, order_by=TASK.c.index)
        ranked = (
            select(
                TASK.c.owner,
                TASK.c.job_id,
                TASK.c.index.label("n"),
                TASK.c.attempt,
                TASK.c.lease,
                TASK.c.queued_seq,
                place.label("place"),
            )
            .where(
                TASK.c.state == "QUEUED",
                TASK.c.resource_class == lane.resource_class,
                TASK.c.engine == lane.engine,
                due,
            )
            .subquery()
        )
        first = (
            select(ranked)
            .where(ranked.c.place <= per_job)
            .order_by(ranked.c.queued_seq, ranked.c.n)
        )
        found: dict[str, dict[str, list[Waiting]]] = {}
        async with self._db.connect() as conn:
            for row in await conn.execute(first):
                tasks = found.setdefault(row.owner, {}).setdefault(row.job_id, [])
                tasks.append(Waiting(row.job_id, row.n, row.attempt, row.lease))
        return found

    async def next_due(self, now: datetime) -> datetime | None:
        """When the next task's back-off ends."""
        query = select(func.min(TASK.c.not_before)).where(
            TASK.c.state == "QUEUED", TASK.c.not_before > now
        )
        async with self._db.connect() as conn:
            due: datetime | None = await conn.scalar(query)
        return due

    async def demand(self, now: datetime, alive: timedelta) -> tuple[LaneDemand, ...]:
        """Per lane; a worker counts when it was heard of within ``alive``."""
        tasks = (
            select(
                TASK.c.resource_class,
                TASK.c.engine,
                func.count().filter(TASK.c.state == "QUEUED").label("queued"),
                func.count().filter(TASK.c.state.in_(HELD)).label("held"),
            )
            .where(TASK.c.state.in_(("QUEUED", *HELD)))
            .group_by(TASK.c.resource_class, TASK.c.engine)
            .subquery()
        )
        offers = (
            select(
                WORKER.c.resource_class,
                func.jsonb_object_keys(WORKER.c.engines).label("engine"),
                WORKER.c.slots,
            )
            .select_from(_LIVING)
            .where(WORKER_HEARTBEAT.c.seen > now - alive)
            .subquery()
        )
        workers = (
            select(
                offers.c.resource_class, offers.c.engine, func.sum(offers.c.slots).label("slots")
            )
            .group_by(offers.c.resource_class, offers.c.engine)
            .subquery()
        )
        same = and_(
            tasks.c.resource_class == workers.c.resource_class, tasks.c.engine == workers.c.engine
        )
        query = select(
            func.coalesce(tasks.c.resource_class, workers.c.resource_class).label("name"),
            func.coalesce(tasks.c.engine, workers.c.engine).label("engine"),
            func.coalesce(tasks.c.queued, 0).label("queued"),
            func.coalesce(tasks.c.held, 0).label("held"),
            func.coalesce(workers.c.slots, 0).label("slots"),
        ).select_from(tasks.join(workers, same, full=True))
        async with self._db.connect() as conn:
            rows = (await conn.execute(query)).all()
        return tuple(
            LaneDemand(Lane(r.name, r.engine), r.queued, r.held, int(r.slots)) for r in rows
        )

    async def workers(self, now: datetime, alive: timedelta) -> tuple[LivingWorker, ...]:
        """Workers that were heard of within ``alive``."""
        query = (
            select(
                WORKER.c.slots,
                WORKER.c.engines,
                WORKER.c.digests,
                WORKER.c.substitutes,
            )
            .select_from(_LIVING)
            .where(WORKER_HEARTBEAT.c.seen > now - alive)
            .order_by(WORKER.c.worker)
        )
        async with self._db.connect() as conn:
            return tuple(LivingWorker(*row) for row in await conn.execute(query))

    async def last_heard(self) -> Mapping[str, datetime | None]:
        """Every registered worker, and when it was heard of last."""
        query = select(WORKER.c.worker, WORKER_HEARTBEAT.c.seen).select_from(
            WORKER.outerjoin(WORKER_HEARTBEAT, WORKER_HEARTBEAT.c.worker == WORKER.c.worker)
        )
        async with self._db.connect() as conn:
            return {row.worker: row.seen for row in await conn.execute(query)}

    async def held(self) -> Mapping[LeaseKey, datetime | None]:
        """Every lease with the end promised at its claim; None when its worker died."""
        query = select(TASK.c.job_id, TASK.c.index.label("n"), TASK.c.lease, TASK.c.until).where(
            TASK.c.state.in_(HELD)
        )
        async with self._db.connect() as conn:
            rows = await conn.execute(query)
            return {LeaseKey(r.job_id, r.n, r.lease): r.until for r in rows}

    async def heard(self, length: timedelta) -> Mapping[LeaseKey, datetime]:
        """Every lease that a last heartbeat named, with the end that this promised."""
        async with self._db.connect() as conn:
            rows = await conn.execute(select(WORKER_HEARTBEAT.c.seen, WORKER_HEARTBEAT.c.leases))
            return {LeaseKey(*key): row.seen + length for row in rows for key in row.leases}

    async def known(self, leases: Sequence[HeldLease]) -> Mapping[tuple[str, int], Known]:
        """What the rows say of these tasks; tasks that they do not know are left out."""
        if not leases:
            return {}
        named = or_(*(and_(TASK.c.job_id == h.job_id, TASK.c.index == h.index) for h in leases))
        query = select(
            TASK.c.job_id, TASK.c.index.label("n"), TASK.c.state, TASK.c.lease, TASK.c.canceling
        )
        async with self._db.connect() as conn:
            rows = await conn.execute(query.where(named))
            return {(r.job_id, r.n): Known(r.state, r.lease, r.canceling) for r in rows}

    async def beat(
        self, worker: str, leases: Sequence[HeldLease], now: datetime
    ) -> datetime | None:
        """Record that a worker was heard of, with its leases; when it was heard of before."""
        values = {"seen": now, "leases": [[h.job_id, h.index, h.lease] for h in leases]}
        fresh = insert(WORKER_HEARTBEAT).values(worker=worker, **values)
        statement = fresh.on_conflict_do_update(index_elements=["worker"], set_=values)
        last = select(WORKER_HEARTBEAT.c.seen).where(WORKER_HEARTBEAT.c.worker == worker)
        async with self._db.begin() as conn:
            before: datetime | None = await conn.scalar(last)
            await conn.execute(statement)
        return before

    async def forget(self, worker: str) -> None:
        """Drop what a worker said."""
        async with self._db.begin() as conn:
            await conn.execute(WORKER_HEARTBEAT.delete().where(WORKER_HEARTBEAT.c.worker == worker))

    @staticmethod
    async def forget_silent(conn: AsyncConnection, worker: str, seen: datetime | None) -> None:
        """Drop what a worker said, unless it has been heard of since ``seen``."""
        silent = WORKER_HEARTBEAT.c.seen.is_not_distinct_from(seen)
        await conn.execute(
            WORKER_HEARTBEAT.delete().where(WORKER_HEARTBEAT.c.worker == worker, silent)
        )

    async def is_registered(self, worker: str) -> bool:
        """Whether the rows know the worker."""
        async with self._db.connect() as conn:
            found = await conn.scalar(select(WORKER.c.slots).where(WORKER.c.worker == worker))
        return found is not None
