"""Close connections that nobody needs.

The start of a service and each burst of requests open as many as the pools allow.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from kerma_common.clock import until_next
from kerma_common.db.engine import IDLE_SECONDS, autocommit, turn

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

    from kerma_common.db.connections import Connections

_log = logging.getLogger(__name__)
_SINCE = "idle since"


class IdleConnections:
    """Closes the connections of a new engine and others that have been idle for ``IDLE_SECONDS``.

    Pools lend the connection used last, so that those nobody needs stay idle.
    """

    def __init__(
        self,
        engine: AsyncEngine | None,
        others: Sequence[Connections] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._others, self._clock = engine, others, clock
        # Places of the pool that hold an idle connection, and since when. Others are empty.
        self._idle: dict[ConnectionPoolEntry, float] = {}
        if engine is not None:
            event.listen(engine.sync_engine, "checkin", self._returned)
            event.listen(engine.sync_engine, "checkout", self._gone)
            event.listen(engine.sync_engine, "close", self._gone)

    async def run(self) -> None:
        """Look for idle connections periodically, until cancelled."""
        while True:
            await asyncio.sleep(until_next(IDLE_SECONDS))
            try:
                await self.close()
            except (SQLAlchemyError, psycopg.Error, OSError) as error:
                # A database that stalls holds every place. The end of this task would be that of
                # the service, and what stays open is closed the next time.
                _log.info("idle connections stay open", extra={"reason": repr(error)})

    async def close(self) -> None:
        """Close what has been idle for long."""
        before = self._clock() - IDLE_SECONDS
        for connections in self._others:
            await connections.close_idle(before)
        if self._engine is not None:
            async with turn(self._engine):  # what else comes now would find no connection
                await self._close_pooled(self._engine, before)

    async def _close_pooled(self, engine: AsyncEngine, before: float) -> None:
        idle = dict(self._idle)
        if not any(since < before for since in idle.values()):
            return
        # SQLAlchemy can only close what is lent. The others return in reverse order, after the empty
        # places, so that the one used last is the next to be lent again.
        async with AsyncExitStack() as stack:
            lent = [await stack.enter_async_context(autocommit(engine).connect()) for _ in idle]
            for connection in lent:
                raw = await connection.get_raw_connection()
                if raw.info.get(_SINCE, before) < before:
                    await connection.invalidate()

    def _returned(self, connection: object, entry: ConnectionPoolEntry) -> None:
        if connection is not None:
            self._idle[entry] = entry.info[_SINCE] = self._clock()

    def _gone(self, _: object, entry: ConnectionPoolEntry, *_more: object) -> None:
        self._idle.pop(entry, None)
