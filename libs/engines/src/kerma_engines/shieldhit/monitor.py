"""Read SHIELD-HIT12A's progress from its log or standard output."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kerma_engines.adapter.monitors import LONGEST_LINE
from kerma_engines.adapter.port import Progress

_PRIMARY = re.compile(
    r"\s*Primary particle no\.\s*(\d{1,18})\s+ETR:\s*"
    r"(\d{1,9})\s+hours?\s+(\d{1,9})\s+minutes?\s+(\d{1,9})\s+seconds?"
)
_REQUESTED = re.compile(r"\s*Requested number of primaries NSTAT\s*:\s*(\d{1,18})")
_FINISHED = re.compile(r"\s*Run time:\s*\d{1,9}\s+hour")


@dataclass(slots=True)
class ShieldHitMonitor:
    """Reads numbers of primaries, and the engine's own estimate of the remaining time."""

    primaries: int
    _done: int = field(default=0, init=False)

    def feed(self, line: str) -> Progress | None:
        """Return the progress that this line reports, None if it reports none."""
        if len(line) > LONGEST_LINE:
            return None
        if match := _PRIMARY.match(line):
            # The line is printed when a primary starts, and the last one is the number requested.
            self._done = max(self._done, min(int(match[1]), self.primaries))
            hours, minutes, seconds = (int(match[k]) for k in (2, 3, 4))
            return Progress(self._done, 3600.0 * hours + 60.0 * minutes + seconds)
        if _REQUESTED.match(line):
            return Progress(0)
        if _FINISHED.match(line):
            return Progress(self._done, 0.0)
        return None
