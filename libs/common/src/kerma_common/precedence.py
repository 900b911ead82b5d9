"""Requests go before work that nobody waits for, where both share an event loop.

Projections and processes have thousands of small steps after a large submission. Each step costs
little, but a request needs several turns of the loop, and would wait in each for every step that is
ready. So such work gives way between steps while a request is young. A request that takes long, for
it waits itself for a projection, holds nothing up: after ``YOUNG_SECONDS`` nobody gives way to it,
and nobody waits for longer than ``PATIENCE_SECONDS`` at a step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

STEP = 50
"""Records or rows that are handled between two looks at what else there is to do, about 1 ms."""
YOUNG_SECONDS = 0.02
PATIENCE_SECONDS = 0.01


class Precedence:
    """The requests that are being handled in this process, oldest first."""

    def __init__(self) -> None:
        self._began: dict[object, float] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request is handled in the block."""
        key = object()
        self._began[key] = time.monotonic()
        try:
            yield
        finally:
            del self._began[key]
            if not self._young():
                for future in self._waiting:
                    if not future.done():
                        future.set_result(None)

    async def give_way(self) -> None:
        """Let everything go first that is ready, and young requests until they are answered."""
        if not self._young():
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        timer = loop.call_later(PATIENCE_SECONDS, _wake, future)
        self._waiting.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)

    def _young(self) -> bool:
        # in order of their beginning, so the last one is the youngest
        last = next(reversed(self._began.values()), None)
        return last is not None and time.monotonic() - last < YOUNG_SECONDS


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_process = Precedence()


def precedence() -> Precedence:
    """The one of this process."""
    return _process


async def give_way() -> None:
    """See ``Precedence.give_way``; for long work in small steps."""
    await _process.give_way()
