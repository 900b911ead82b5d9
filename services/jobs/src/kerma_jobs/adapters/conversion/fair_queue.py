"""The queue in front of the conversions: fair over users, and not held up by slow conversions.

Users take turns; the one that has waited longest since its last turn comes first. A turn that takes
longer than ``fast_seconds`` makes room for the next user and becomes one of a few slow ones; if
there are too many of those, it ends. So a user waits for at most one fast turn of every other
waiting user, whatever the others submit.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kerma_common.errors import TooManyRequests, Unavailable
from kerma_jobs.adapters.conversion.limits import QueueLimits

RETRY_SECONDS = 5


@dataclass(eq=False, slots=True)
class Turn:
    """A conversion that waits or runs."""

    user: str
    size: int
    granted: asyncio.Future[None]
    slow: bool = False


@dataclass(slots=True)
class _User:
    """The turns of one user. ``size``: total bytes of the waiting requests."""

    waiting: deque[Turn] = field(default_factory=deque)
    running: int = 0
    size: int = 0


class FairQueue:
    """Grants turns in one event loop."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        # in the order of turns: a user who gets one moves to the end
        self._users: OrderedDict[str, _User] = OrderedDict()
        self.fast = 0
        self.slow = 0
        self.waiting = 0
        self._size = 0

    @asynccontextmanager
    async def turn(self, user: str, size: int) -> AsyncGenerator[Turn, None]:
        """Wait for a turn of ``user`` with a request of ``size`` bytes.

        Raises TooManyRequests when the user has too many waiting, Unavailable when all users
        together have.
        """
        self._admit(user, size)
        turn = Turn(user, size, asyncio.get_running_loop().create_future())
        self._enter(turn)
        try:
            self._grant()
            await turn.granted
            yield turn
        finally:
            self._leave(turn)
            self._grant()

    def slow_down(self, turn: Turn) -> bool:
        """Move a running turn to the slow ones; return False when it must end instead."""
        if turn.slow:
            return True
        if self.slow >= self._limits.slow:
            return False
        turn.slow = True
        self.fast -= 1
        self.slow += 1
        self._grant()
        return True

    def _admit(self, user: str, size: int) -> None:
        limits = self._limits
        own = self._users.get(user) or _User()
        if len(own.waiting) >= limits.waiting_per_user:
            raise TooManyRequests(
                f"You have {len(own.waiting)} submissions waiting for conversion, which is the "
                "limit; try again when one is accepted",
                RETRY_SECONDS,
            )
        if own.waiting and own.size + size > limits.waiting_bytes_per_user:
            raise TooManyRequests(
                f"Your submissions waiting for conversion have {own.size} bytes; this one would "
                f"exceed the limit of {limits.waiting_bytes_per_user}; try again when one is "
                "accepted",
                RETRY_SECONDS,
            )
        if self.waiting >= limits.waiting:
            raise Unavailable(
                f"{self.waiting} submissions of all users are waiting for conversion, which is the "
                "limit; try again later"
            )
        if self.waiting and self._size + size > limits.waiting_bytes:
            raise Unavailable(
                f"The submissions of all users waiting for conversion have {self._size} bytes; this "
                f"one would exceed the limit of {limits.waiting_bytes}; try again later"
            )

    def _enter(self, turn: Turn) -> None:
        user = self._users.setdefault(turn.user, _User())
        user.waiting.append(turn)
        user.size += turn.size
        self.waiting += 1
        self._size += turn.size

    def _grant(self) -> None:
        while self.fast < self._limits.fast:
            user = next((u for u in self._users.values() if self._may_run(u)), None)
            if user is None:
                return
            turn = user.waiting[0]
            self._stop_waiting(turn)
            user.running += 1
            self.fast += 1
            self._users.move_to_end(turn.user)
            if not turn.granted.done():  # otherwise it is cancelled and about to leave
                turn.granted.set_result(None)

    def _may_run(self, user: _User) -> bool:
        return bool(user.waiting) and user.running < self._limits.per_user

    def _stop_waiting(self, turn: Turn) -> None:
        user = self._users[turn.user]
        user.waiting.remove(turn)
        user.size -= turn.size
        self.waiting -= 1
        self._size -= turn.size

    def _leave(self, turn: Turn) -> None:
        user = self._users[turn.user]
        if turn in user.waiting:
            self._stop_waiting(turn)
        else:
            user.running -= 1
            self.fast -= not turn.slow
            self.slow -= turn.slow
        if not user.waiting and not user.running:
            del self._users[turn.user]
