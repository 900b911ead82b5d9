"""How both clients pause, and how long between looks at a job: more the longer it lasts."""

from __future__ import annotations

import time
from asyncio import sleep as asleep
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import sleep

__all__ = ["Deadline", "asleep", "looks", "sleep"]

FIRST_LOOK = 0.2
LONGEST_LOOK = 3.0
GROWTH = 1.3


def looks(timeout: float | None) -> Iterator[float]:
    """Yield the pauses between looks, which add up to ``timeout`` seconds."""
    pause, left = FIRST_LOOK, timeout
    while left is None or left > 0:
        now = pause if left is None else min(pause, left)
        yield now
        left = None if left is None else left - now
        pause = min(pause * GROWTH, LONGEST_LOOK)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of ``timeout`` seconds from now on, never for None."""

    timeout: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float | None:
        """Seconds that are left, None for any number."""
        if self.timeout is None:
            return None
        return max(0.0, self.timeout - (time.monotonic() - self.began))

    def within(self, seconds: float) -> bool:
        """Return whether it comes in less than ``seconds``."""
        left = self.left
        return left is not None and left < seconds
