"""A connection that one loop keeps, outside the pool.

For a small transaction, taking a connection from SQLAlchemy's pool, changing its mode and giving it
back costs as much processor time as everything else.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from kerma_common.db.engine import IDLE_SECONDS, PREPARES, autocommit

if TYPE_CHECKING:
    from psycopg import AsyncConnection as Driver
    from sqlalchemy.ext.asyncio import AsyncEngine

OFTEN = 5
"""Executions after which a statement is prepared in the server, which then need not plan it."""


@dataclass(slots=True)
class KeptConnection:
    """A connection in autocommit mode, opened when it is first used; for one user at a time."""

    engine: AsyncEngine
    clock: Callable[[], float] = time.monotonic
    _driver: Driver[Any] | None = field(default=None, init=False)
    _used: float = field(default=0.0, init=False)

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Driver[Any], None]:
        """Lend the connection to the block, which begins and commits its own transaction.

        After any failure the connection is closed, which rolls back.
        """
        driver = self._driver or await self._connect()
        try:
            yield driver
        except BaseException:
            await self.close()
            raise
        self._used = self.clock()

    async def close_idle(self) -> None:
        """Close the connection if nobody has used it for ``IDLE_SECONDS``."""
        if self._used < self.clock() - IDLE_SECONDS:
            await self.close()

    async def _connect(self) -> Driver[Any]:
        raw = await (await autocommit(self.engine).connect()).get_raw_connection()
        self._driver = driver = cast("Driver[Any]", raw.driver_connection)
        # Its place in the pool is free again, and SQLAlchemy does not close it.
        raw.detach()
        if self.engine.get_execution_options().get(PREPARES):
            driver.prepare_threshold = OFTEN
        return driver

    async def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()
