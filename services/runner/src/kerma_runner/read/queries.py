"""Queries on workers and leases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from kerma_common.contracts.rpc_runner import HeldLease
from kerma_runner.domain.leases import LeaseKey
from kerma_runner.read.models import IS_HELD, TASK, WORKER, WORKER_HEARTBEAT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kerma_common.db.reads import Reads


@dataclass(frozen=True, slots=True)
class Known:
    """The rows of a task that a worker names in a heartbeat."""

    state: str
    lease: int
    canceling: bool


@dataclass(frozen=True, slots=True)
class LivingWorker:
    """What a living worker offers; see the event ``WorkerRegistered``."""

    slots: int
    engines: Mapping[str, str]
    digests: Mapping[str, str]
    substitutes: Mapping[str, str]
    sandbox: str = ""


@dataclass(frozen=True, slots=True)
class LastHeard:
    """A registered worker, the time of its last heartbeat, and what confines its engines."""

    worker: str
    seen: datetime | None
    sandbox: str


HELD = ("LEASED", "RUNNING")

_LAST_HEARD = select(WORKER.c.worker, WORKER_HEARTBEAT.c.seen, WORKER.c.sandbox).select_from(
    WORKER.outerjoin(WORKER_HEARTBEAT, WORKER_HEARTBEAT.c.worker == WORKER.c.worker)
)
_HELD = select(TASK.c.job_id, TASK.c.index, TASK.c.lease, TASK.c.until).where(IS_HELD)
_HEARD = select(WORKER_HEARTBEAT.c.seen, WORKER_HEARTBEAT.c.leases)
_LIVING = WORKER.join(WORKER_HEARTBEAT, WORKER_HEARTBEAT.c.worker == WORKER.c.worker)


class QueueRows:
    """Queries on the runner's rows, each a single statement."""

    def __init__(self, db: AsyncEngine, reads: Reads) -> None:
        self._db = db
        self._reads = reads
        self._last_heard = reads.statement(_LAST_HEARD)
        self._held = reads.statement(_HELD)
        self._heard = reads.statement(_HEARD)

    async def workers(self, now: datetime, alive: timedelta) -> tuple[LivingWorker, ...]:
        """Return the workers heard within ``alive``."""
        query = (
            select(
                WORKER.c.slots,
                WORKER.c.engines,
                WORKER.c.digests,
                WORKER.c.substitutes,
                WORKER.c.sandbox,
            )
            .select_from(_LIVING)
            .where(WORKER_HEARTBEAT.c.seen > now - alive)
            .order_by(WORKER.c.worker)
        )
        async with self._db.connect() as conn:
            return tuple(LivingWorker(*row) for row in await conn.execute(query))

    async def last_heard(self) -> tuple[LastHeard, ...]:
        """Return every registered worker."""
        return tuple(LastHeard(*row) for row in await self._reads.all(self._last_heard))

    async def held(self) -> Mapping[LeaseKey, datetime | None]:
        """Return every lease with the end promised at its claim, None when its worker died."""
        rows = await self._reads.all(self._held)
        return {LeaseKey(*key): until for *key, until in rows}

    async def heard(self, length: timedelta) -> Mapping[LeaseKey, datetime]:
        """Return every lease named by a last heartbeat, with the end that it promised."""
        rows = await self._reads.all(self._heard)
        return {LeaseKey(*key): seen + length for seen, leases in rows for key in leases}

    async def known(self, leases: Sequence[HeldLease]) -> Mapping[tuple[str, int], Known]:
        """Return the rows of these tasks; tasks without a row are left out."""
        if not leases:
            return {}
        named = or_(*(and_(TASK.c.job_id == h.job_id, TASK.c.index == h.index) for h in leases))
        query = select(
            TASK.c.job_id, TASK.c.index.label("n"), TASK.c.state, TASK.c.lease, TASK.c.canceling
        )
        async with self._db.connect() as conn:
            rows = await conn.execute(query.where(named))
            return {(r.job_id, r.n): Known(r.state, r.lease, r.canceling) for r in rows}

    async def is_registered(self, worker: str) -> bool:
        """Return whether the worker is registered."""
        async with self._db.connect() as conn:
            found = await conn.scalar(select(WORKER.c.slots).where(WORKER.c.worker == worker))
        return found is not None
