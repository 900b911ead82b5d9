"""Reading the next batch of a stream while the present one is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerma_common.contracts.envelope import Recorded

Batch = Sequence["Recorded"]


class Ahead:
    """Batches in the order of their iterator, at most one of them read ahead.

    Within ``async with``, which ends the reading before the iterator may be closed.
    """

    def __init__(self, batches: AsyncIterator[Batch]) -> None:
        self._batches = batches
        self._reading: asyncio.Task[Batch] | None = None

    async def __aenter__(self) -> Ahead:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                # What it raised would come again when the stream is read again.
                self._reading.exception()

    def begin(self) -> None:
        """Start to read the next batch."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._next())

    async def next(self) -> Batch:
        """Return the next batch, whether or not it was begun. Raises what the iterator raises."""
        if self._reading is None:
            return await self._next()
        batch = await self._reading
        self._reading = None
        return batch

    async def _next(self) -> Batch:
        return await anext(self._batches)
