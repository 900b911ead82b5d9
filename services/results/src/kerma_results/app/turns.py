"""Turns of merges and deliveries, fair over the owners of jobs."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Turns:
    """Grants at most ``at_once`` turns at a time, and ``per_owner`` to one owner.

    Of the owners who wait, the one whose last turn began longest ago comes first.
    """

    def __init__(self, at_once: int, per_owner: int) -> None:
        self._at_once = at_once
        self._per_owner = per_owner
        # in the order of turns: an owner who gets one moves to the end
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._running: Counter[str] = Counter()

    def free(self, owner: str) -> bool:
        """Return whether ``owner`` would get a turn at once."""
        return self._running.total() < self._at_once and self._may_have_one(owner)

    def number(self, owner: str) -> int:
        """Return how many turns ``owner`` has or waits for."""
        return self._running[owner] + len(self._waiting.get(owner, ()))

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncGenerator[None, None]:
        """Wait for a turn, which lasts as long as the context."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(granted)
        try:
            self._grant()
            await granted
            yield
        finally:
            if granted in self._waiting.get(owner, ()):
                self._stop_waiting(owner, granted)
            else:
                self._running[owner] -= 1
                if not self._running[owner]:
                    del self._running[owner]
            self._grant()

    def _grant(self) -> None:
        while self._running.total() < self._at_once:
            owner = next((o for o in self._waiting if self._may_have_one(o)), None)
            if owner is None:
                return
            granted = self._waiting[owner][0]
            self._waiting.move_to_end(owner)
            self._stop_waiting(owner, granted)
            self._running[owner] += 1
            if not granted.done():  # otherwise it is cancelled and about to leave
                granted.set_result(None)

    def _may_have_one(self, owner: str) -> bool:
        return self._running[owner] < self._per_owner

    def _stop_waiting(self, owner: str, granted: asyncio.Future[None]) -> None:
        self._waiting[owner].remove(granted)
        if not self._waiting[owner]:
            del self._waiting[owner]
