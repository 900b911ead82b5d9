"""Rebuild the read models of a service beside the running ones, and replace those at once.

Everything is projected from the first event into the schema ``<service>__next``. When that has
caught up, one transaction renames ``<service>`` to ``<service>__old`` and ``<service>__next`` to
``<service>``. Requests use the same name before and after. A leader that still writes finds the
fence raised, drops its batch and goes on from the new checkpoints.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from sqlalchemy import text
from sqlalchemy.schema import DropSchema

from kerma_common.commands.consistency import Positions
from kerma_common.errors import ContractViolation
from kerma_common.projection.rows.schema import Standing, create_read_models, standing
from kerma_common.projection.rows.tables import schema_of
from kerma_common.projection.runner import projection_loop

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from kerma_common.eventlog.port import EventLog
    from kerma_common.projection.router import Projection

FLIP_SECONDS = 60.0
"""How long the running projections may be held while the new ones apply the last commits."""
TELL_SECONDS = 5.0
"""Seconds between log lines on the progress of a rebuild."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compared:
    """One table before and after: numbers of rows, and whether all rows are equal.

    ``equal`` is None if they differ and the former read models were behind, which leaves it open.
    """

    table: str
    before: int
    after: int
    equal: bool | None


async def rebuild(
    projections: Sequence[Projection], log: EventLog, db: AsyncEngine
) -> tuple[Compared, ...]:
    """Replace the read models of a service by ones projected from the first event.

    Returns how the tables compare at the moment of the replacement; the former ones stay in
    ``<service>__old`` until the next rebuild. Differences are the purpose of a rebuild, so they do
    not stop it. Raises ContractViolation, and replaces nothing, if commits had to be quarantined;
    TimeoutError if the last step takes too long.
    """
    async with _alone(db):
        return await _rebuild(projections, log, db, complete=True)


async def ensure_read_models(
    projections: Sequence[Projection], log: EventLog, db: AsyncEngine
) -> None:
    """Make the service's schema hold the read models that this release declares.

    A missing schema is created, for the running projections to fill. Rows of another release are
    replaced by ones projected from the first event before this returns; of processes that start at
    the same time, one does it. Commits that cannot be projected are quarantined, as the running
    projections would do. Raises ContractViolation for rows of a newer release.
    """
    service = schema_of(db)
    async with db.connect() as conn:
        if await standing(conn, service, projections) is Standing.CURRENT:
            return
    async with _alone(db) as conn:
        found = await standing(conn, service, projections)
        if found is Standing.ABSENT:
            await conn.run_sync(create_read_models, service, projections)
        elif found is Standing.OTHER:
            _log.warning("the read models of %s are of another release: made anew", service)
            await _rebuild(projections, log, db, complete=False)


@asynccontextmanager
async def _alone(db: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a transaction during which no other process replaces the service's read models.

    The lock belongs to the transaction, so it works through a pooler and ends with its holder.
    """
    async with db.begin() as conn:
        lock = text("SELECT pg_advisory_xact_lock(hashtext(:name))")
        await conn.execute(lock, {"name": f"rebuild of {schema_of(db)}"})
        yield conn


async def _rebuild(
    projections: Sequence[Projection], log: EventLog, db: AsyncEngine, *, complete: bool
) -> tuple[Compared, ...]:
    """With ``complete``, replace nothing if commits had to be quarantined."""
    service = schema_of(db)
    following = f"{service}__next"
    target = db.execution_options(schema_translate_map={None: following})
    async with db.begin() as conn:
        await conn.execute(DropSchema(following, cascade=True, if_exists=True))
        await conn.run_sync(create_read_models, following, projections)
    positions = Positions(service)
    async with asyncio.TaskGroup() as group:
        building = [
            group.create_task(projection_loop(p, log, target, positions).run()) for p in projections
        ]
        try:
            await _catch_up(projections, log, positions)
            async with asyncio.timeout(FLIP_SECONDS), db.begin() as conn:
                held = await _hold(conn, service, projections)
                for (name, stream), seq in held.items():
                    await positions.wait(name, stream, seq, FLIP_SECONDS)
                await _end(building)
                return await _replace(conn, service, held, complete=complete)
        finally:
            await _end(building)


async def _catch_up(projections: Sequence[Projection], log: EventLog, positions: Positions) -> None:
    for projection in projections:
        for stream in projection.streams:
            last = (await log.state(stream)).last
            while not await positions.reach(projection.name, stream, last, TELL_SECONDS):
                reached = positions.reached(projection.name, stream)
                _log.info("making %s anew: %d of %d of %s", projection.name, reached, last, stream)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _hold(
    conn: AsyncConnection, service: str, projections: Sequence[Projection]
) -> dict[tuple[str, str], int]:
    """Block commits of the running projections until this transaction ends.

    Returns their positions in the streams that the new ones follow too; {} if there are no running
    ones.
    """
    if not await _was_led(conn, service):
        return {}
    followed = {(p.name, stream) for p in projections for stream in p.streams}
    # in the order in which every transaction locks them, see lease.py
    await _run(conn, "SELECT FROM {present}.checkpoint ORDER BY name, stream FOR UPDATE", service)
    found = await _run(
        conn,
        "UPDATE {present}.checkpoint SET fence = fence + 1 RETURNING name, stream, seq",
        service,
    )
    rows = await found.fetchall()
    return {(name, stream): seq for name, stream, seq in rows if (name, stream) in followed}


async def _was_led(conn: AsyncConnection, service: str) -> bool:
    """Return whether the current schema has the tables that fence its leaders."""
    found = await conn.execute(
        text(
            "SELECT count(*) FROM information_schema.columns WHERE table_schema = :schema AND"
            " (table_name, column_name) IN (('checkpoint', 'name'), ('checkpoint', 'stream'),"
            " ('checkpoint', 'seq'), ('checkpoint', 'fence'), ('lease', 'name'), ('lease', 'fence'))"
        ),
        {"schema": service},
    )
    return bool(found.scalar_one() == 6)


async def _replace(
    conn: AsyncConnection, service: str, held: dict[tuple[str, str], int], *, complete: bool
) -> tuple[Compared, ...]:
    quarantined = await _run(conn, "SELECT count(*) FROM {next}.quarantine", service)
    if complete and (count := (await quarantined.fetchall())[0][0]):
        raise ContractViolation(f"{count} commits of {service} could not be projected")
    reached = await _run(conn, "SELECT name, stream, seq FROM {next}.checkpoint", service)
    same = {(n, s): seq for n, s, seq in await reached.fetchall()} == held
    compared = await _compare(conn, service, same)
    for statement in (
        _OVERTAKE if await _was_led(conn, service) else _FREE,
        "UPDATE {next}.checkpoint AS c SET fence = l.fence"
        " FROM {next}.lease AS l WHERE l.name = c.name",
        "DROP SCHEMA IF EXISTS {old} CASCADE",
        "ALTER SCHEMA {present} RENAME TO {old}",
        "ALTER SCHEMA {next} RENAME TO {present}",
    ):
        await _run(conn, statement, service)
    return compared


_FREE = "UPDATE {next}.lease SET until = now()"
_OVERTAKE = (
    # Above the fence of every former leader, and free to be taken.
    "UPDATE {next}.lease AS l SET until = now(), fence = 1 + greatest(l.fence,"
    " (SELECT fence FROM {present}.lease AS p WHERE p.name = l.name))"
)


async def _compare(conn: AsyncConnection, service: str, same: bool) -> tuple[Compared, ...]:
    named = await _run(
        conn,
        "SELECT table_name FROM information_schema.tables AS t WHERE table_schema = {service}"
        " AND table_name NOT IN ('checkpoint', 'lease', 'quarantine', 'read_model')"
        " AND EXISTS (SELECT FROM information_schema.tables AS n WHERE n.table_name = t.table_name"
        " AND n.table_schema = {following}) ORDER BY 1",
        service,
    )
    compared = []
    for (table,) in await named.fetchall():
        before, after = [
            (await (await _run(conn, digest, service, table)).fetchall())[0]
            for digest in (_DIGEST.replace("SCHEMA", "present"), _DIGEST.replace("SCHEMA", "next"))
        ]
        equal = True if before == after else False if same else None
        compared.append(Compared(table, before[0], after[0], equal))
    return tuple(compared)


_DIGEST = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {SCHEMA}.{table} AS t"


async def _run(conn: AsyncConnection, statement: str, service: str, table: str = "") -> Any:
    driver: Any = (await conn.get_raw_connection()).driver_connection
    return await driver.execute(
        sql.SQL(statement).format(
            service=sql.Literal(service),
            following=sql.Literal(f"{service}__next"),
            present=sql.Identifier(service),
            next=sql.Identifier(f"{service}__next"),
            old=sql.Identifier(f"{service}__old"),
            table=sql.Identifier(table),
        )
    )
