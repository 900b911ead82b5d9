"""Timers: a single sleep until the next one is due, whatever their number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from kerma_common.process.tables import TIMER
from kerma_common.projection.retries.failures import delays, pause

if TYPE_CHECKING:
    from kerma_common.infra import Clock
    from kerma_common.projection.retries.persistence import Persistence
    from kerma_common.projection.sink import Transaction


class Timers:
    """Caller of ``fire`` whenever a timer of the process is due; its rows survive restarts."""

    def __init__(
        self, process: str, clock: Clock, fire: Callable[[Transaction], Awaitable[None]]
    ) -> None:
        self._process = process
        self._clock = clock
        self._fire = fire
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Note that timers were set: the next one may be due earlier now."""
        self._changed.set()

    async def run(self, transaction: Transaction, retries: Persistence) -> None:
        """Wait and fire until cancelled."""
        waits = delays()
        while True:
            try:
                due = await self._next(transaction)
                left = None if due is None else (due - self._clock()).total_seconds()
                if left is not None and left <= 0:
                    await self._fire(transaction)
                    continue
            except Exception as error:
                retries.failed(self, error)
                await pause(waits)
                continue
            retries.recovered(self)
            waits = delays()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
            self._changed.clear()

    async def _next(self, transaction: Transaction) -> datetime | None:
        async with transaction() as conn:
            due: datetime | None = await conn.scalar(
                select(func.min(TIMER.c.due)).where(
                    TIMER.c.process == self._process, TIMER.c.error.is_(None)
                )
            )
        return due
