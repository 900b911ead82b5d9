"""Hot reads: prepared statements on connections of their own.

SQLAlchemy's async layer costs a request several times as much as a small statement itself, so the
reads that pages poll run on psycopg directly. Their statements are still built with SQLAlchemy, and
rendered once. psycopg_pool is not used because it connects in the background, with growing pauses:
while the database is down, each request would wait instead of failing at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from kerma_common.db.engine import CONNECT_SECONDS, DEAD_PEER_MS
from kerma_common.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import SelectBase

    from kerma_common.settings import PgSettings

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as text, and the parameters that it always has."""

    sql: str
    fixed: Mapping[str, Any]


@dataclass(slots=True)
class Reads:
    """Read-only statements on at most ``most`` connections, opened when they are needed.

    Each statement is a transaction. ``schema`` is that of tables without one.
    """

    connect: Callable[[], Awaitable[Connection]]
    schema: str
    most: int
    patience: float
    _idle: list[Connection] = field(default_factory=list, init=False)
    _turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.most)

    def statement(self, select: SelectBase) -> Statement:
        """Render a statement once, for many executions."""
        compiled = select.compile(
            dialect=PGDialect_psycopg(),  # type: ignore[no-untyped-call]  # SQLAlchemy's
            schema_translate_map={None: self.schema},
            render_schema_translate=True,
        )
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        return Statement(str(compiled), fixed)

    async def first(self, statement: Statement, **parameters: Any) -> Row | None:
        """Return the first row; None if there is none."""
        rows = await self.all(statement, **parameters)
        return rows[0] if rows else None

    async def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Return all rows. Raises Unavailable if no connection becomes free in time."""
        await self._turn()
        try:
            # The one used last: the others may be closed by a pooler or the server meanwhile.
            connection = self._idle.pop() if self._idle else await self.connect()
            try:
                cursor = connection.cursor(binary=True)
                await cursor.execute(statement.sql, {**statement.fixed, **parameters})
                return await cursor.fetchall()
            finally:
                await self._take_back(connection)
        finally:
            self._turns.release()

    async def close(self) -> None:
        """Close the idle connections; others close when their statement ends."""
        self.most = 0
        await self._forget()

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
            self._idle.append(connection)
            return
        lost = connection.broken
        await connection.close()
        if lost:  # so are the others, most likely: each would make a request fail
            await self._forget()

    async def _forget(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()


def open_reads(settings: PgSettings, application_name: str, schema: str) -> Reads:
    """Return the hot reads of a service; they connect when they are first used."""
    url = settings.url.get_secret_value()

    async def connect() -> Connection:
        return await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            # None never prepares, 0 prepares at the first execution
            prepare_threshold=0 if settings.prepare else None,
            application_name=application_name,
            connect_timeout=CONNECT_SECONDS,
            tcp_user_timeout=DEAD_PEER_MS,
        )

    return Reads(connect, schema, settings.readers, settings.pool_seconds)
