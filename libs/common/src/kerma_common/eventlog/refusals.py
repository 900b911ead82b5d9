"""Streams that took no write lately.

A NATS server whose disk was full goes on refusing the stream it failed to write, in silence and
with room free, until it is started again; other streams of the same server work. No probe beside
the stream shows that, and a probe in the stream would grow the log. So the writes themselves are
watched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from prometheus_client import Counter

REFUSED = Counter(
    "kerma_stream_writes_refused_total", "Writes that a stream did not acknowledge", ["stream"]
)


_log = logging.getLogger(__name__)


class Refusals:
    """What the last write to each stream came to.

    ``connections`` counts how often the client has connected again.
    """

    def __init__(self, connections: Callable[[], int] = lambda: 0) -> None:
        self._connections = connections
        self._refused: dict[str, tuple[int, str]] = {}

    def refused(self, stream: str, error: Exception) -> None:
        """A write was refused or not acknowledged."""
        REFUSED.labels(stream).inc()
        _log.error("%s took no write: %r", stream, error)
        self._refused[stream] = (self._connections(), f"{type(error).__name__}: {error}")

    def stored(self, stream: str) -> None:
        """A write was acknowledged."""
        if self._refused.pop(stream, None) is not None:
            _log.warning("%s takes writes again", stream)

    def faults(self) -> dict[str, str]:
        """Streams whose last write failed, and how; none of an earlier connection.

        A server that was started again has forgotten what made it refuse.
        """
        now = self._connections()
        return {stream: text for stream, (then, text) in self._refused.items() if then == now}
