"""Whether a leader moves on while there is work: one that waits for ever reports no failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STUCK_SECONDS = 120.0
"""Seconds without progress after which a leader counts as stuck.

The longest steps, such as storing the pages of a large result, take some ten seconds.
"""


@dataclass(slots=True)
class Progress:
    """The progress of one leader, in positions that it measures anyway; ``clock`` in seconds."""

    clock: Callable[[], float] = time.monotonic
    _measured: float | None = field(default=None, init=False)
    _standing: dict[str, tuple[int, float]] = field(default_factory=dict, init=False)
    _running: dict[object, tuple[str, float]] = field(default_factory=dict, init=False)

    def measured(self, stream: str, reached: int, last: int) -> None:
        """Note the position of the leader in a stream, and that of the stream's last commit."""
        now = self._measured = self.clock()
        if reached >= last:
            self._standing.pop(stream, None)
        elif self._standing.get(stream, (None, now))[0] != reached:
            self._standing[stream] = (reached, now)

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Note that the block runs, which takes a few seconds at most unless something hangs."""
        key = object()
        self._running[key] = (name, self.clock())
        try:
            yield
        finally:
            self._running.pop(key, None)

    def forget(self) -> None:
        """Drop what is noted about a leadership that has ended."""
        self._measured = None
        self._standing.clear()
        self._running.clear()

    @property
    def fault(self) -> str | None:
        """Return what has not moved for ``STUCK_SECONDS``, or None."""
        now = self.clock()
        for stream, (reached, since) in self._standing.items():
            if now - since >= STUCK_SECONDS:
                return f"stuck at {reached} of {stream} for {now - since:.0f} s"
        for name, since in self._running.values():
            if now - since >= STUCK_SECONDS:
                return f"{name} has been running for {now - since:.0f} s"
        if self._measured is not None and now - self._measured >= STUCK_SECONDS:
            return f"has not renewed its lease for {now - self._measured:.0f} s"
        return None
