"""Quarantine: aggregates whose commits cannot be applied, kept until they can be."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, distinct, func, literal, select, tuple_

from kerma_common.contracts.decoding import decode
from kerma_common.contracts.envelope import Recorded, encode
from kerma_common.eventlog.guard import Checkpoint
from kerma_common.projection.rows.ops import Upsert
from kerma_common.projection.rows.tables import CHECKPOINT, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from kerma_common.projection.rows.ops import Op

LIMIT = 20
WINDOW = timedelta(minutes=10)
"""If more than ``LIMIT`` aggregates fail within ``WINDOW``, the release is at fault."""


async def checkpoints(conn: AsyncConnection, name: str) -> dict[str, Checkpoint]:
    """Return how far the rows have come, per stream."""
    found = await conn.execute(select(CHECKPOINT).where(CHECKPOINT.c.name == name))
    return {row.stream: Checkpoint(row.epoch, row.seq, row.commit) for row in found}


@dataclass(frozen=True, slots=True)
class QuarantinedCommit:
    """A commit in quarantine; ``error`` is None if it only waits behind one that failed."""

    record: Recorded
    error: str | None
    at: datetime


async def kept(conn: AsyncConnection, name: str) -> Sequence[QuarantinedCommit]:
    """Return every commit in quarantine, by stream and sequence."""
    found = await conn.execute(
        select(QUARANTINE).where(_of(name)).order_by(QUARANTINE.c.stream, QUARANTINE.c.seq)
    )
    return [
        QuarantinedCommit(
            Recorded(row.stream, row.seq, row.subject, decode(row.commit)), row.error, row.at
        )
        for row in found
    ]


async def recent(conn: AsyncConnection, name: str) -> int:
    """Return how many aggregates failed within the window."""
    found = await conn.scalar(
        select(func.count(distinct(QUARANTINE.c.subject))).where(
            _of(name),
            QUARANTINE.c.error.is_not(None),
            QUARANTINE.c.at > func.clock_timestamp() - literal(WINDOW),
        )
    )
    return found or 0


def keep(name: str, record: Recorded, error: BaseException | None = None) -> Op:
    """Return the row of a commit that failed with ``error``, or waits behind one that did."""
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


async def remove(conn: AsyncConnection, name: str, records: Iterable[Recorded]) -> None:
    """Take commits out of quarantine."""
    places = tuple_(QUARANTINE.c.stream, QUARANTINE.c.seq)
    wanted = [(record.stream, record.seq) for record in records]
    await conn.execute(delete(QUARANTINE).where(_of(name), places.in_(wanted)))


def _of(name: str) -> ColumnElement[bool]:
    return QUARANTINE.c.name == name
