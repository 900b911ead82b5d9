"""Heartbeats in PostgreSQL: the last one of each worker, worthless once its leases have run out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from kerma_common.contracts.rpc_runner import HeldLease
from kerma_runner.read.models import WORKER_HEARTBEAT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class HeartbeatRows:
    """Adapter of ``HeartbeatStore``."""

    def __init__(self, db: AsyncEngine) -> None:
        self._db = db

    async def beat(
        self, worker: str, leases: Sequence[HeldLease], now: datetime
    ) -> datetime | None:
        """See ``HeartbeatStore``."""
        values = {"seen": now, "leases": [[h.job_id, h.index, h.lease] for h in leases]}
        fresh = insert(WORKER_HEARTBEAT).values(worker=worker, **values)
        statement = fresh.on_conflict_do_update(index_elements=["worker"], set_=values)
        last = select(WORKER_HEARTBEAT.c.seen).where(WORKER_HEARTBEAT.c.worker == worker)
        async with self._db.begin() as conn:
            before: datetime | None = await conn.scalar(last)
            await conn.execute(statement)
        return before

    async def forget(self, worker: str) -> None:
        """See ``HeartbeatStore``."""
        async with self._db.begin() as conn:
            await conn.execute(WORKER_HEARTBEAT.delete().where(WORKER_HEARTBEAT.c.worker == worker))

    async def forget_silent(
        self, conn: AsyncConnection, worker: str, seen: datetime | None
    ) -> None:
        """See ``HeartbeatStore``."""
        silent = WORKER_HEARTBEAT.c.seen.is_not_distinct_from(seen)
        await conn.execute(
            WORKER_HEARTBEAT.delete().where(WORKER_HEARTBEAT.c.worker == worker, silent)
        )
