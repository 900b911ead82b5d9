"""Parked commands and timers of process managers: list, retry or drop them.

A command is parked if its execution fails with an error that is not transient, a timer if its
handler fails. Later commands of the same instance go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Table, and_, delete, select, update

from kerma_common.errors import NotFound
from kerma_common.process.runner import ProcessSink
from kerma_common.process.tables import OUTBOX, TIMER, process_schema
from kerma_common.projection import lease as leadership

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from kerma_common.commands.context import CommandContext
    from kerma_common.infra import Clock
    from kerma_common.process.manager import ProcessManager

_TIMER = "timer:"


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked command or timer. ``id`` is unique in the service.

    ``at`` is the time at which a command was decided or a timer was due.
    """

    process: str
    instance: str
    id: str
    what: str
    data: Any
    error: str
    at: datetime


def process_db(db: AsyncEngine, service: str) -> AsyncEngine:
    """Return the engine of a service, mapped to the schema of its process managers."""
    return db.execution_options(schema_translate_map={None: process_schema(service)})


def mending_sink(manager: ProcessManager[Any], clock: Clock) -> ProcessSink:
    """Return a sink that applies quarantined commits; the leader executes their commands."""

    async def leave(command: object, _: CommandContext) -> None:
        raise RuntimeError(f"{type(command).__name__} belongs to the leader")

    return ProcessSink(manager, leave, clock)


async def list_parked(db: AsyncEngine) -> list[Parked]:
    """Return every parked command and timer in the schema of ``db``, oldest first."""
    async with db.connect() as conn:
        commands = await conn.execute(select(OUTBOX).where(OUTBOX.c.error.is_not(None)))
        timers = await conn.execute(select(TIMER).where(TIMER.c.error.is_not(None)))
        found = [
            Parked(r.process, r.key, str(r.position), r.command, r.data, r.error, r.created_at)
            for r in commands
        ] + [
            Parked(r.process, r.key, f"{_TIMER}{r.key}:{r.timer}", r.timer, None, r.error, r.due)
            for r in timers
        ]
    return sorted(found, key=lambda parked: parked.at)


async def retry(db: AsyncEngine, parked: Parked) -> None:
    """Let the leader try again. Raises NotFound if it is not parked."""
    table, names = _place(parked)
    async with db.begin() as conn:
        done = await conn.execute(update(table).where(names).values(error=None))
        _require(done.rowcount, parked)
        await _reload(conn, parked)


async def drop(db: AsyncEngine, parked: Parked) -> None:
    """Delete it without executing it. Raises NotFound if it is not parked."""
    table, names = _place(parked)
    async with db.begin() as conn:
        done = await conn.execute(delete(table).where(names))
        _require(done.rowcount, parked)
        await _reload(conn, parked)


async def _reload(conn: AsyncConnection, parked: Parked) -> None:
    await leadership.raise_fence(conn, parked.process)


def _require(rows: int, parked: Parked) -> None:
    if rows != 1:
        raise NotFound(f"{parked.id} is not parked")


def _place(parked: Parked) -> tuple[Table, ColumnElement[bool]]:
    if parked.id.startswith(_TIMER):
        named = TIMER.c.key == parked.instance, TIMER.c.timer == parked.what
        table = TIMER
    else:
        named = OUTBOX.c.position == int(parked.id), OUTBOX.c.key == parked.instance
        table = OUTBOX
    owed = and_(table.c.process == parked.process, table.c.error.is_not(None), *named)
    return table, owed
