"""How long to wait between looks at a job: little at first, more the longer it lasts."""

from __future__ import annotations

from collections.abc import Iterator

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
