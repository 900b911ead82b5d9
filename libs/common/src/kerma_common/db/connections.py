"""Connections of psycopg, without SQLAlchemy, for what requests execute often.

SQLAlchemy's async layer costs a request several times as much as a small statement itself. The
statements are still built with SQLAlchemy, and rendered once. psycopg_pool is not used because it
connects in the background, with growing pauses: while the database is down, each request would wait
instead of failing at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from kerma_common.db.engine import CONNECT_SECONDS, DEAD_PEER_MS
from kerma_common.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement

    from kerma_common.settings import PgSettings

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as text, and the parameters that it always has."""

    sql: str
    fixed: Mapping[str, Any]

    async def execute(
        self, connection: Connection, **parameters: Any
    ) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        """Execute the statement; rows come in binary form."""
        cursor = connection.cursor(binary=True)
        return await cursor.execute(self.sql, {**self.fixed, **parameters})


def rendered(clause: ClauseElement, schema: str) -> Statement:
    """Render a statement once, for many executions. ``schema`` is that of tables without one."""
    compiled = clause.compile(
        dialect=PGDialect_psycopg(),  # type: ignore[no-untyped-call]  # SQLAlchemy's
        schema_translate_map={None: schema},
        render_schema_translate=True,
    )
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    return Statement(str(compiled), fixed)


@dataclass(slots=True)
class Connections:
    """At most ``most`` connections in autocommit mode, opened when they are needed.

    ``patience``: seconds to wait for one.
    """

    connect: Callable[[], Awaitable[Connection]]
    most: int
    patience: float
    clock: Callable[[], float] = time.monotonic
    _idle: list[tuple[float, Connection]] = field(default_factory=list, init=False)
    """Since when, and which; the one used last comes last."""
    _turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.most)

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Connection, None]:
        """Lend a connection to the block, which ends the transactions that it begins.

        One that is left inside a transaction is closed. Raises Unavailable if no connection becomes
        free in time.
        """
        await self._turn()
        try:
            # The one used last: the others may be closed by a pooler or the server meanwhile.
            connection = self._idle.pop()[1] if self._idle else await self.connect()
            try:
                yield connection
            finally:
                await self._take_back(connection)
        finally:
            self._turns.release()

    async def close(self) -> None:
        """Close the idle connections; others close when they are given back."""
        self.most = 0
        await self._forget()

    async def close_idle(self, before: float) -> None:
        """Close the connections that have been idle since a time of the clock."""
        while self._idle and self._idle[0][0] < before:
            _, connection = self._idle.pop(0)
            await connection.close()

    async def _turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        try:
            async with asyncio.timeout(self.patience):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable("The database has no free connection; try again") from None

    async def _take_back(self, connection: Connection) -> None:
        # A statement that failed leaves the connection idle, one that was cancelled may not.
        if connection.pgconn.transaction_status == TransactionStatus.IDLE and self.most:
            self._idle.append((self.clock(), connection))
            return
        lost = connection.broken
        await connection.close()
        if lost:  # so are the others, most likely: each would make a request fail
            await self._forget()

    async def _forget(self) -> None:
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await connection.close()


def open_connections(
    settings: PgSettings, application_name: str, most: int, *, planned_once: bool = False
) -> Connections:
    """Return connections that are opened when they are first used.

    ``planned_once``: statements are planned when they are prepared, not for each execution.
    """
    url = settings.url.get_secret_value()
    # poolers that keep no prepared statements refuse options, too
    once = planned_once and settings.prepare
    options = "-c plan_cache_mode=force_generic_plan" if once else None

    async def connect() -> Connection:
        return await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            # None never prepares, 0 prepares at the first execution
            prepare_threshold=0 if settings.prepare else None,
            application_name=application_name,
            connect_timeout=CONNECT_SECONDS,
            tcp_user_timeout=DEAD_PEER_MS,
            options=options,
        )

    return Connections(connect, most, settings.pool_seconds)
