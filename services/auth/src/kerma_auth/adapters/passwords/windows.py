"""Counters of attempts in PostgreSQL: all replicas count together, and a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Interval,
    Table,
    Text,
    case,
    cast,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_auth.adapters.vault import METADATA
from kerma_common.db.sweeping import Stale

ATTEMPT = Table(
    "attempt_window",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("expires", DateTime(timezone=True), nullable=False, index=True),
)
_NOW = func.clock_timestamp()
OVER = Stale(ATTEMPT, ATTEMPT.c.expires <= func.now())
"""Windows that are over."""


@dataclass(frozen=True, slots=True)
class Window:
    """The attempts in the present window of a key, and the seconds until it ends."""

    count: int
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows that begin with their first attempt.

    Times are those of the database, since the clocks of replicas differ.
    """

    db: AsyncEngine

    async def count(self, key: str, seconds: int) -> Window:
        """Count an attempt; begin a new window if there is none or it is over."""
        ends = _NOW + cast(f"{seconds} seconds", Interval)
        over = ATTEMPT.c.expires <= _NOW
        counted = (
            insert(ATTEMPT)
            .values(key=key, count=1, expires=ends)
            .on_conflict_do_update(
                index_elements=[ATTEMPT.c.key],
                set_={
                    "count": case((over, 1), else_=ATTEMPT.c.count + 1),
                    "expires": case((over, ends), else_=ATTEMPT.c.expires),
                },
            )
            .returning(ATTEMPT.c.count, _left())
        )
        async with self.db.begin() as connection:
            window = Window(*(await connection.execute(counted)).one())
        if window.count == 1:
            await self._forget()
        return window

    async def of(self, keys: Sequence[str]) -> dict[str, Window]:
        """Return the present windows of keys that have one."""
        found = select(ATTEMPT.c.key, ATTEMPT.c.count, _left()).where(
            ATTEMPT.c.key.in_(keys), ATTEMPT.c.expires > _NOW
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return {key: Window(count, left) for key, count, left in rows}

    async def clear(self, key: str) -> None:
        """Forget the attempts of a key."""
        async with self.db.begin() as connection:
            await connection.execute(delete(ATTEMPT).where(ATTEMPT.c.key == key))

    async def _forget(self) -> None:
        """Delete windows that are over, except those that someone else is writing."""
        async with self.db.begin() as connection:
            await connection.execute(OVER.delete())


def _left() -> ColumnElement[float]:
    return func.date_part("epoch", ATTEMPT.c.expires - _NOW)
