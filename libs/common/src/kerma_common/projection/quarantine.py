"""Aggregates whose commits cannot be applied: kept aside, and applied after a fix."""

from __future__ import annotations

import os
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, distinct, func, literal, select

from kerma_common.contracts.envelope import Recorded, decode, encode
from kerma_common.eventlog.guard import Checkpoint
from kerma_common.projection.ops import Upsert
from kerma_common.projection.tables import CHECKPOINT, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from kerma_common.projection.ops import Op

LIMIT = 20
WINDOW = timedelta(minutes=10)
"""More than ``LIMIT`` aggregates failing within ``WINDOW`` is a fault of the release."""


async def checkpoints(conn: AsyncConnection, name: str) -> dict[str, Checkpoint]:
    """How far the rows have come, per stream."""
    found = await conn.execute(select(CHECKPOINT).where(CHECKPOINT.c.name == name))
    return {row.stream: Checkpoint(row.epoch, row.seq, row.commit) for row in found}


async def subjects(conn: AsyncConnection, name: str) -> set[str]:
    """The aggregates that are kept aside."""
    found = await conn.scalars(select(QUARANTINE.c.subject).distinct().where(_of(name)))
    return set(found)


async def recent(conn: AsyncConnection, name: str) -> int:
    """How many aggregates failed within the window."""
    found = await conn.scalar(
        select(func.count(distinct(QUARANTINE.c.subject))).where(
            _of(name),
            QUARANTINE.c.error.is_not(None),
            QUARANTINE.c.at > func.clock_timestamp() - literal(WINDOW),
        )
    )
    return found or 0


def keep(name: str, record: Recorded, error: BaseException | None = None) -> Op:
    """The row of a commit that failed with ``error``, or is parked behind one that did."""
    return Upsert(
        QUARANTINE,
        {"name": name, "stream": record.stream, "seq": record.seq},
        {
            "subject": record.subject,
            "commit": encode(record.commit),
            "error": "".join(traceback.format_exception(error))[-8000:] if error else None,
            "release": os.environ.get("KERMA_RELEASE"),
        },
    )


async def take(conn: AsyncConnection, name: str, subject: str) -> Sequence[Recorded]:
    """Remove an aggregate's commits from quarantine and return them, oldest first."""
    found = await conn.execute(
        delete(QUARANTINE)
        .where(_of(name), QUARANTINE.c.subject == subject)
        .returning(QUARANTINE.c.stream, QUARANTINE.c.seq, QUARANTINE.c.commit)
    )
    rows = sorted(found, key=lambda row: (row.stream, row.seq))
    return [Recorded(row.stream, row.seq, subject, decode(row.commit)) for row in rows]


def _of(name: str) -> ColumnElement[bool]:
    return QUARANTINE.c.name == name
