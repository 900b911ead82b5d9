"""Code that monitors of several engines share: the remaining time, from the pace so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_LINE = 4096
"""Longer lines are not parsed for progress."""


@dataclass(slots=True)
class Pace:
    """Estimates the remaining time for ``primaries``. The clock starts with the first count."""

    primaries: int
    clock: Callable[[], float] = time.monotonic
    _start: tuple[float, int] | None = field(default=None, init=False)

    def left(self, done: int) -> float | None:
        """Return the seconds left after ``done`` primaries, None before there is a pace."""
        now = self.clock()
        if self._start is None:
            self._start = (now, done)
            return None
        since, first = self._start
        if done <= first or now <= since:
            return None
        return (now - since) / (done - first) * max(0, self.primaries - done)
