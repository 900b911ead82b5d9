"""Periodic deletion of rows whose time is over, also of users who do not come back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Delete, Table, delete, func, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from kerma_common.clock import until_next
from kerma_common.db.engine import turn

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SWEEP_SECONDS = 600.0
MOST_ROWS = 1000
"""Rows that one transaction deletes."""
MOST_TRANSACTIONS = 100
"""Transactions per table of one sweep; what remains is left to the next one."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stale:
    """Rows of a table that nobody needs any more.

    ``over`` compares with ``now()``: no index serves a comparison with ``clock_timestamp()``.
    """

    table: Table
    over: ColumnElement[bool]

    def delete(self) -> Delete:
        """Return what deletes some of them, except those that someone else is writing."""
        key = list(self.table.primary_key)
        some = select(*key).where(self.over).limit(MOST_ROWS).with_for_update(skip_locked=True)
        return delete(self.table).where(tuple_(*key).in_(some))


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Deletes stale rows of a service; of all processes that try, one does."""

    service: str
    db: AsyncEngine
    stale: Sequence[Stale]

    async def run(self) -> None:
        """Sweep periodically, until cancelled."""
        while True:
            await asyncio.sleep(until_next(SWEEP_SECONDS))
            try:
                await self.sweep()
            except (SQLAlchemyError, OSError) as error:
                # The end of this task would be that of the service; the next sweep does it.
                _log.warning("%s: stale rows stay: %s", self.service, type(error).__name__)

    async def sweep(self) -> int:
        """Delete stale rows; return how many were deleted."""
        total = 0
        for stale in self.stale:
            for _ in range(MOST_TRANSACTIONS):
                deleted = await self._delete(stale)
                total += deleted
                if deleted < MOST_ROWS:
                    break
        return total

    async def _delete(self, stale: Stale) -> int:
        ours = func.pg_try_advisory_xact_lock(func.hashtextextended(f"sweep {self.service}", 0))
        async with turn(self.db), self.db.begin() as connection:
            if not await connection.scalar(select(ours)):
                return 0
            return (await connection.execute(stale.delete())).rowcount
