"""Repair of the quarantine: list commits, apply them after a fix, or give them up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from kerma_common.admin.story import in_causal_order
from kerma_common.projection import lease as leadership
from kerma_common.projection import quarantine
from kerma_common.projection.quarantine import QuarantinedCommit
from kerma_common.projection.rows.tables import schema_of
from kerma_common.projection.rows.write import write

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection as Driver
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from kerma_common.contracts.envelope import Recorded
    from kerma_common.projection.sink import Query, React, Sink


_RAISED = re.compile(r"[A-Za-z_][\w.]*: ")


@dataclass(frozen=True, slots=True)
class QuarantinedUnit:
    """A unit of a sink in quarantine: the place of its first failure, the error, and what waits.

    ``unit`` is the subject of an aggregate for a read model, the instance for a process manager.
    """

    name: str
    unit: str
    stream: str
    seq: int
    error: str
    at: datetime
    commits: int


async def quarantined_units(sink: Sink, db: AsyncEngine) -> list[QuarantinedUnit]:
    """Return every unit in quarantine, oldest failure first."""
    async with db.connect() as conn:
        kept = await quarantine.kept(conn, sink.name)
    units: dict[str, list[QuarantinedCommit]] = {}
    for entry in kept:
        units.setdefault(sink.unit(entry.record), []).append(entry)
    found = [_quarantined(sink.name, unit, entries) for unit, entries in units.items()]
    return sorted(found, key=lambda unit: unit.at)


async def replay(sink: Sink, db: AsyncEngine, unit: str) -> int:
    """Apply a unit's commits in quarantine, after a fix; return their number.

    All or nothing: if a commit fails again, everything stays as it was. The leader drops its batch
    and follows the unit again.
    """
    async with db.begin() as conn:
        entries = await _take(sink, conn, unit)
        return await _apply(sink, conn, [entry.record for entry in entries])


async def skip(sink: Sink, db: AsyncEngine, unit: str) -> tuple[Sequence[Recorded], int]:
    """Give up the failed commits of a unit and apply those that wait behind them.

    Returns the commits given up and the number of those applied. All or nothing: if one of the
    others fails, everything stays as it was.
    """
    async with db.begin() as conn:
        entries = await _take(sink, conn, unit)
        given_up = [entry.record for entry in entries if entry.error is not None]
        waiting = [entry.record for entry in entries if entry.error is None]
        return given_up, await _apply(sink, conn, waiting)


async def _take(sink: Sink, conn: AsyncConnection, unit: str) -> list[QuarantinedCommit]:
    # Fence the leader first, so that it adds nothing of the unit meanwhile.
    await leadership.raise_fence(conn, sink.name)
    kept = await quarantine.kept(conn, sink.name)
    entries = [entry for entry in kept if sink.unit(entry.record) == unit]
    await quarantine.remove(conn, sink.name, [entry.record for entry in entries])
    return entries


async def _apply(sink: Sink, conn: AsyncConnection, records: Sequence[Recorded]) -> int:
    if records:
        # An instance has commits of several streams.
        ordered = in_causal_order(records)
        await sink.apply(
            ordered, partial(write, conn), partial(_revise, conn), lambda: nullcontext(conn)
        )
    return len(records)


async def _revise(conn: AsyncConnection, query: Query, react: React) -> None:
    """Read rows and write what follows from them, inside the open transaction of ``conn``."""
    driver = cast("Driver[Any]", (await conn.get_raw_connection()).driver_connection)
    found = await driver.execute(*query(schema_of(conn)))
    await write(conn, react(await found.fetchall()))


def _quarantined(name: str, unit: str, entries: Sequence[QuarantinedCommit]) -> QuarantinedUnit:
    first = min((e for e in entries if e.error is not None), key=lambda e: e.at, default=entries[0])
    record, error = first.record, _summary(first.error or "")
    return QuarantinedUnit(name, unit, record.stream, record.seq, error, first.at, len(entries))


def _summary(error: str) -> str:
    """Return the type and first message line at the end of a stack trace."""
    lines = error.strip().splitlines()
    return next((line for line in reversed(lines) if _RAISED.match(line)), "".join(lines[-1:]))
