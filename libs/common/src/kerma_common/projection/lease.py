"""Leadership by a row: a holder, a deadline, and a fence that every takeover raises.

The takeover's transaction copies the fence to the checkpoints, so a former leader's
compare-and-swap fails whatever it believes. The deadline only decides when others may try.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

import psutil
import psycopg
from psycopg import sql
from sqlalchemy import case, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from kerma_common.clock import until_next
from kerma_common.db.engine import autocommit, in_turn
from kerma_common.projection.rows.tables import CHECKPOINT, LEASE, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import AsyncConnection as Driver
    from psycopg import AsyncCursor
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import Pool

    from kerma_common.contracts.envelope import Recorded

TTL = timedelta(seconds=9)
RENEWAL = 3.0
"""Seconds between renewals. All loops of a process renew at the same time: it wakes up once."""


class Fenced(Exception):  # noqa: N818 - names say what happened
    """Another leader took over, or somebody changed what this one had loaded."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Leadership over ``name``: valid while the row still holds this fence."""

    name: str
    holder: str
    fence: int


def until_renewal() -> float:
    """Return the seconds until the loops of this process renew their leases."""
    return until_next(RENEWAL)


def process_identity() -> str:
    """Return a name of this process by which others on the machine can check whether it runs."""
    me = psutil.Process()
    return "|".join((socket.gethostname(), _namespace(), str(me.pid), f"{me.create_time():.2f}"))


def is_gone(holder: str) -> bool:
    """Return whether ``holder`` is an ended process of this machine; False when in doubt."""
    parts = holder.split("|")
    if len(parts) != 4 or parts[:2] != [socket.gethostname(), _namespace()]:
        return False
    try:
        return f"{psutil.Process(int(parts[2])).create_time():.2f}" != parts[3]
    except psutil.NoSuchProcess:
        return True


def _namespace() -> str:
    path = Path("/proc/self/ns/pid")
    return str(path.readlink()) if path.exists() else str(os.getuid())


async def acquire(engine: AsyncEngine, name: str, holder: str, epochs: Mapping[str, str]) -> Lease:
    """Wait for leadership and take it; checkpoints of new streams start at 0.

    ``epochs`` maps the streams to follow to their epochs. A standby checks again when the current
    lease ends, and every ``RENEWAL`` because the lease may be released early; it takes over at once
    if the holder was a process of this machine that died.
    """
    gone = ""
    while True:
        async with engine.begin() as conn:
            fence = await _take(conn, name, holder, gone)
            if fence is not None:
                await _fence_checkpoints(conn, name, fence, epochs)
                return Lease(name, holder, fence)
            row = (
                await conn.execute(
                    select(LEASE.c.holder, LEASE.c.until - func.clock_timestamp()).where(
                        LEASE.c.name == name
                    )
                )
            ).one()
        if is_gone(row[0]) and gone != row[0]:
            gone = row[0]
            continue
        left = min(max(row[1].total_seconds(), 0.0), RENEWAL)
        await asyncio.sleep(left + random.uniform(0.01, 0.2))  # noqa: S311


async def _take(conn: AsyncConnection, name: str, holder: str, gone: str) -> int | None:
    statement = insert(LEASE).values(
        name=name, holder=holder, fence=1, until=func.clock_timestamp() + literal(TTL)
    )
    statement = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": holder,
            "fence": LEASE.c.fence + 1,
            "until": statement.excluded.until,
        },
        where=or_(LEASE.c.until < func.clock_timestamp(), LEASE.c.holder.in_([holder, gone])),
    )
    fence: int | None = await conn.scalar(statement.returning(LEASE.c.fence))
    return fence


async def _fence_checkpoints(
    conn: AsyncConnection, name: str, fence: int, epochs: Mapping[str, str]
) -> None:
    for stream, epoch in sorted(epochs.items()):  # in the order of `_lock_checkpoints`
        fresh = insert(CHECKPOINT).values(name=name, stream=stream, seq=0, epoch=epoch, fence=fence)
        await conn.execute(
            fresh.on_conflict_do_update(
                index_elements=["name", "stream"],
                set_={
                    "fence": fence,
                    # A checkpoint at 0 has seen nothing of any epoch.
                    "epoch": case((CHECKPOINT.c.seq == 0, epoch), else_=CHECKPOINT.c.epoch),
                },
            )
        )


Held = tuple[str, Lease]
"""A lease and the schema of its row."""


@dataclass(slots=True)
class Renewals:
    """The leases of one process in one database, which are renewed by one statement.

    Every holder asks for itself. The first to ask renews for all, and the others have nothing left
    to do. A holder that has not asked lately is left out: its lease shall end.
    """

    _asked: dict[Held, float] = field(default_factory=dict, init=False)
    _renewed: dict[Held, float] = field(default_factory=dict, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def renew(self, engine: AsyncEngine, lease: Lease) -> bool:
        """Return whether ``lease`` is renewed; False if it may be lost, or its row is locked."""
        mine = schema_of(engine), lease
        asked = self._asked[mine] = time.monotonic()
        async with self._turn:
            if self._renewed.get(mine, 0.0) <= asked - RENEWAL / 2:
                began = time.monotonic()
                held = [one for one, at in self._asked.items() if at > began - 1.5 * RENEWAL]
                found = await _renew_all(engine, held)
                self._renewed.update((one, began) for one in found)
            return self._renewed.get(mine, 0.0) > asked - RENEWAL / 2

    async def forget(self, engine: AsyncEngine, lease: Lease) -> None:
        """Leave the lease to its end; when this returns, nothing renews it any more."""
        mine = schema_of(engine), lease
        self._asked.pop(mine, None)
        async with self._turn:
            self._renewed.pop(mine, None)


_renewals: WeakKeyDictionary[Pool, Renewals] = WeakKeyDictionary()


def renewals(engine: AsyncEngine) -> Renewals:
    """Return the renewals on the connections of an engine."""
    return _renewals.setdefault(engine.sync_engine.pool, Renewals())


async def renew(engine: AsyncEngine, lease: Lease) -> None:
    """Extend the deadline. Raises Fenced if the lease is no longer held."""
    if await renewals(engine).renew(engine, lease):
        return
    async with autocommit(engine).connect() as conn:
        done = await conn.execute(
            update(LEASE)
            .where(
                LEASE.c.name == lease.name,
                LEASE.c.fence == lease.fence,
                LEASE.c.holder == lease.holder,
            )
            .values(until=func.clock_timestamp() + literal(TTL))
        )
    if done.rowcount != 1:
        raise Fenced(lease.name)


async def _renew_all(engine: AsyncEngine, held: Sequence[Held]) -> set[Held]:
    """Return the leases that were renewed; none of them if the rows of one cannot be reached.

    Rows that are locked are left out: a process that stops in the middle of a takeover must not
    hold up other leases.
    """
    schemas = tuple(sorted({schema for schema, _ in held}))
    values: list[object] = []
    for schema in schemas:
        leases = [lease for place, lease in held if place == schema]
        values += [TTL, [one.name for one in leases]]
        values += [[one.fence for one in leases], [one.holder for one in leases]]
    try:
        async with in_turn(engine) as conn:
            driver = cast("Driver", (await conn.get_raw_connection()).driver_connection)
            done = await driver.execute(_renewed(schemas), values)
            found = set(await done.fetchall())
    except psycopg.Error:  # each holder tries alone then, and meets the fault if it is its own
        return set()
    return {(schema, lease) for schema, lease in held if (schema, lease.name) in found}


@cache
def _renewed(schemas: Sequence[str]) -> bytes:
    """Return one statement for the leases of all schemas, so that there is one commit."""
    update_one = sql.SQL(
        "{step} AS (UPDATE {lease} AS row SET until = clock_timestamp() + ours.ttl FROM"
        " (SELECT name, ttl FROM {lease} AS held JOIN"
        " (SELECT *, %s::interval AS ttl FROM unnest(%s::text[], %s::bigint[], %s::text[])"
        " AS one (name, fence, holder)) AS asked USING (name, fence, holder)"
        " FOR UPDATE OF held SKIP LOCKED) AS ours"
        " WHERE row.name = ours.name RETURNING {schema} AS schema, row.name AS name)"
    )
    names = {schema: sql.Identifier(f"step_{number}") for number, schema in enumerate(schemas)}
    steps = [
        update_one.format(
            step=names[schema],
            lease=sql.Identifier(schema, LEASE.name),
            schema=sql.Literal(schema),
        )
        for schema in schemas
    ]
    told = [sql.SQL("SELECT schema, name FROM {}").format(name) for name in names.values()]
    whole = sql.SQL("WITH {} {}").format(
        sql.SQL(", ").join(steps), sql.SQL(" UNION ALL ").join(told)
    )
    return whole.as_bytes(None)


async def release(engine: AsyncEngine, lease: Lease) -> None:
    """Let others lead at once."""
    await renewals(engine).forget(engine, lease)
    async with engine.begin() as conn:
        await conn.execute(
            update(LEASE)
            .where(LEASE.c.name == lease.name, LEASE.c.fence == lease.fence)
            .values(until=func.clock_timestamp())
        )


async def advance(conn: AsyncConnection, lease: Lease, old: int, last: Recorded) -> None:
    """Move a checkpoint to ``last`` in the rows' transaction. Raises Fenced if it is not ours."""
    driver = cast("Driver", (await conn.get_raw_connection()).driver_connection)
    moved = await send_advance(driver, schema_of(conn), lease, old, last)
    check_advanced(moved, lease)


async def send_advance(
    driver: Driver, schema: str, lease: Lease, old: int, last: Recorded
) -> AsyncCursor:
    """Execute the statement of ``advance``, which may be one of a pipeline.

    The caller passes the cursor to ``check_advanced`` once the pipeline has ended.
    """
    values = (last.seq, last.commit.id, lease.name, last.stream, old, lease.fence)
    return await driver.execute(_moved(schema), values)


def check_advanced(moved: AsyncCursor, lease: Lease) -> None:
    """Raise Fenced if no checkpoint was moved; the transaction must not commit then."""
    if moved.rowcount != 1:
        raise Fenced(lease.name)


@cache
def _moved(schema: str) -> bytes:
    statement = sql.SQL(
        "UPDATE {} SET seq = %s, commit = %s"
        " WHERE name = %s AND stream = %s AND seq = %s AND fence = %s"
    )
    return statement.format(sql.Identifier(schema, CHECKPOINT.name)).as_bytes(None)


async def raise_fence(conn: AsyncConnection, name: str) -> None:
    """Make the leader drop its batch and reload, at its next renewal at the latest."""
    await conn.execute(update(LEASE).where(LEASE.c.name == name).values(fence=LEASE.c.fence + 1))
    await _lock_checkpoints(conn, name)
    await conn.execute(
        update(CHECKPOINT).where(CHECKPOINT.c.name == name).values(fence=CHECKPOINT.c.fence + 1)
    )


async def lock(conn: AsyncConnection, lease: Lease) -> None:
    """Block takeovers until the transaction ends. Raises Fenced if one has happened."""
    if lease.fence not in await _lock_checkpoints(conn, lease.name):
        raise Fenced(lease.name)


async def send_lock(driver: Driver, schema: str, lease: Lease) -> AsyncCursor:
    """Execute the statement of ``lock``, which may be one of a pipeline.

    The caller passes the cursor to ``check_locked`` once the pipeline has ended.
    """
    return await driver.execute(_locked(schema), (lease.name,))


async def check_locked(locked: AsyncCursor, lease: Lease) -> None:
    """Raise Fenced if the lease is no longer held; the transaction must not commit then."""
    if (lease.fence,) not in await locked.fetchall():
        raise Fenced(lease.name)


async def _lock_checkpoints(conn: AsyncConnection, name: str) -> set[int]:
    """Lock the checkpoints of a loop and return their fences."""
    driver = cast("Driver", (await conn.get_raw_connection()).driver_connection)
    locked = await driver.execute(_locked(schema_of(conn)), (name,))
    return {fence for (fence,) in await locked.fetchall()}


@cache
def _locked(schema: str) -> bytes:
    """Return the statement that locks the checkpoints of a loop.

    Transactions that lock several checkpoints do it by name and stream; in another order, two of
    them would block one another.
    """
    statement = sql.SQL("SELECT fence FROM {} WHERE name = %s ORDER BY name, stream FOR UPDATE")
    return statement.format(sql.Identifier(schema, CHECKPOINT.name)).as_bytes(None)
