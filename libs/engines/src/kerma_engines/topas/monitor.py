"""Read TOPAS's progress from its standard output."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.adapter.monitors import LONGEST_LINE, Pace
from kerma_engines.adapter.port import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

_HISTORY = re.compile(
    r"(?:G4WT\d+\s*>\s*)?Begin processing for Run: \d{1,9}, History: (\d{1,18})\s*$"
)
_TOTAL = re.compile(r"Particle source .*: Total number of histories: (\d{1,18})\s*$")


@dataclass(slots=True)
class TopasMonitor:
    """Reads numbers of histories. Threads report out of order, so the largest counts."""

    primaries: int
    clock: Callable[[], float] = time.monotonic
    _pace: Pace = field(init=False)
    _done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Start the estimate of the remaining time."""
        self._pace = Pace(self.primaries, self.clock)

    def feed(self, line: str) -> Progress | None:
        """Return the progress that this line reports, None if it reports none."""
        if len(line) > LONGEST_LINE:
            return None
        if match := _HISTORY.match(line):
            self._done = max(self._done, min(int(match[1]), self.primaries))
            return Progress(self._done, self._pace.left(self._done))
        if match := _TOTAL.match(line):
            self._done = max(self._done, min(int(match[1]), self.primaries))
            return Progress(self._done, 0.0)
        return None
