"""Requests take precedence over background work on the same event loop.

After a large submission, projections and processes take thousands of small steps. Each step costs
little, but a request needs several turns of the loop and in each would wait for every step that is
ready. So such work gives way between steps while a request is young. A request that waits for such
work itself holds nothing up, nor does a long one: after ``YOUNG_SECONDS`` nothing gives way to it,
and no step waits for longer than ``PATIENCE_SECONDS``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STEP = 50
"""Records or rows handled between two calls of ``give_way``, about 1 ms."""
YOUNG_SECONDS = 0.02
PATIENCE_SECONDS = 0.01

_current: ContextVar[object | None] = ContextVar("kerma_current_request", default=None)


class Precedence:
    """The requests that this process is handling, oldest first."""

    def __init__(self) -> None:
        self._began: dict[object, float] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Register a request for the duration of the block."""
        key = object()
        token = _current.set(key)
        self._began[key] = time.monotonic()
        try:
            yield
        finally:
            _current.reset(token)
            self._leave(key)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Hold nothing up while the block waits for work that would give way to its own request.

        The request has its answer ready by then, so it does not count as young afterwards either.
        """
        if (key := _current.get()) is not None:
            self._leave(key)
        yield

    async def give_way(self) -> None:
        """Let everything that is ready run first, and wait for young requests to be answered."""
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

    def _leave(self, key: object) -> None:
        self._began.pop(key, None)
        if not self._young():
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)

    def _young(self) -> bool:
        # In order of arrival, so the last one is the youngest.
        last = next(reversed(self._began.values()), None)
        return last is not None and time.monotonic() - last < YOUNG_SECONDS


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_process = Precedence()


def precedence() -> Precedence:
    """Return the precedence of this process."""
    return _process


async def give_way() -> None:
    """Call ``Precedence.give_way``, between the small steps of long work."""
    await _process.give_way()
