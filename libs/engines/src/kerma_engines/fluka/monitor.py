"""Read FLUKA's progress from its output file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kerma_engines.adapter.monitors import LONGEST_LINE
from kerma_engines.adapter.port import Progress

_SEEDS = re.compile(r"\s*NEXT SEEDS:")
_FEEDER = re.compile(r"\s*All cases handled by Feeder")
_END = re.compile(r"\s*\* =+\s+End of FLUKA\s.*\srun\s+=+ \*")
_NUMBER = r"[-+]?(?:\d{1,18}\.?\d{0,18}|\.\d{1,18})(?:[EeDd][-+]?\d{1,3})?"
_SIX = re.compile(
    rf"\s*(\d{{1,18}})\s+(\d{{1,18}})\s+(\d{{1,18}})\s+({_NUMBER})\s+{_NUMBER}\s+\d+\s*$"
)


@dataclass(slots=True)
class FlukaMonitor:
    """Reads the table of primaries handled and left, with the mean time per primary.

    A line of six numbers belongs to the table only between the first seeds and the end.
    """

    primaries: int
    _running: bool = field(default=False, init=False)
    _done: int = field(default=0, init=False)

    def feed(self, line: str) -> Progress | None:
        """Return the progress that this line reports, None if it reports none."""
        if len(line) > LONGEST_LINE:
            return None
        if _SEEDS.match(line):
            started, self._running = not self._running, True
            return Progress(self._done) if started else None
        if _FEEDER.match(line):
            self._running = False
            return Progress(self._done, 0.0)
        if _END.match(line):
            self._running = False
            return Progress(self._done, 0.0)
        match = _SIX.match(line) if self._running else None
        if match is None:
            return None
        self._done = max(self._done, min(int(match[1]), self.primaries))
        each = float(match[4].upper().replace("D", "E"))
        return Progress(self._done, max(0.0, each * (self.primaries - self._done)))
