"""Processes that have converted a project and wait for the next one of the same user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kerma_sandbox.forks.children import Child

MOST = 4
IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Idle:
    """``spent``: seconds that all conversions of the process took."""

    child: Child
    spent: float
    expiry: asyncio.TimerHandle


class KeptForks:
    """At most one process per user, ``MOST`` in all, each for ``IDLE_SECONDS``.

    One whose conversions took more than ``most_spent`` seconds is not kept. ``discard`` gets each
    that is not kept or not any longer.
    """

    def __init__(self, most_spent: float, discard: Callable[[Child], None]) -> None:
        self._most_spent = most_spent
        self._discard = discard
        self._idle: dict[str, _Idle] = {}  # in the order of their last use

    def take(self, user: str) -> tuple[Child, float] | None:
        """Return the process of a user and the seconds that its conversions took, or None."""
        found = self._idle.pop(user, None)
        if found is None:
            return None
        found.expiry.cancel()
        if found.child.ended.done():
            self._discard(found.child)
            return None
        return found.child, found.spent

    def keep(self, user: str, child: Child, spent: float) -> None:
        """Keep a process for the next conversion of its user, or discard it."""
        if spent > self._most_spent:
            self._discard(child)
            return
        self._drop(user)
        if len(self._idle) == MOST:
            self._drop(next(iter(self._idle)))
        loop = asyncio.get_running_loop()
        self._idle[user] = _Idle(child, spent, loop.call_later(IDLE_SECONDS, self._drop, user))

    def clear(self) -> None:
        """Discard all."""
        for user in tuple(self._idle):
            self._drop(user)

    def _drop(self, user: str) -> None:
        if found := self._idle.pop(user, None):
            found.expiry.cancel()
            self._discard(found.child)
