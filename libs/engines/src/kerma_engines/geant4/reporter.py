"""Progress of a transport process, and the number of primaries for scorers."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_REPORT_SECONDS = 0.1


class Reporter:
    """Writes progress lines ``primaries <done> <seconds left>``, at most ten a second.

    ``look`` is called as often.
    """

    def __init__(self, primaries: int, fd: int) -> None:
        self.primaries = primaries
        self.fd = fd
        self.done = -1
        self.look: Callable[[], None] | None = None
        self.start = monotonic()
        self.due = self.start

    def next_primary(self) -> None:
        """Count a primary; called before each one."""
        self.done += 1
        now = monotonic()
        if now >= self.due:
            self.due = now + _REPORT_SECONDS
            self.report(now)
            if self.look is not None:
                self.look()

    def report(self, now: float) -> None:
        """Write one line; the remaining time is extrapolated from the primaries done."""
        line = f"primaries {self.done}"
        if self.done > 0:
            left = (now - self.start) * (self.primaries - self.done) / self.done
            line += f" {left:.1f}"
        os.write(self.fd, f"{line}\n".encode())
