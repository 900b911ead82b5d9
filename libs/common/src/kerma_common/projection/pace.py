"""How long a loop rests after a short batch, so that the next one is longer.

A transaction costs as much as fifty commits in it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

REST_SECONDS = 0.02
"""Pause on a stream that is quiet now and then."""
LONGEST_REST_SECONDS = 0.1
SHARE = 20.0
"""Pause while commits keep coming, in multiples of the time that the last batch took: a busy machine
applies fewer and longer batches."""
AT_ONCE_SECONDS = 0.005
STEADY = 4
"""Batches in a row that came at once when the loop asked for them: commits keep coming."""
BUSY = 10
"""Commits within ``RECENT_SECONDS`` with which they keep coming too, though with gaps. The whole way
of a small job takes fewer."""
RECENT_SECONDS = 1.0


@dataclass(slots=True)
class Pace:
    """The pace of one stream."""

    _steady: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _commits: int = 0

    def came(self, waited: float, commits: int, now: float) -> None:
        """Note that a batch of ``commits`` came after ``waited`` seconds."""
        self._steady = self._steady + 1 if waited < AT_ONCE_SECONDS else 0
        self._recent.append((now, commits))
        self._commits += commits
        while now - self._recent[0][0] >= RECENT_SECONDS:
            self._commits -= self._recent.popleft()[1]

    def rest(self, took: float) -> float:
        """Return how many seconds to rest after a batch that took ``took`` seconds."""
        if self._steady < STEADY and self._commits < BUSY:
            return REST_SECONDS
        return min(max(REST_SECONDS, SHARE * took), LONGEST_REST_SECONDS)
