"""Streams whose last write failed.

After a full disk, a NATS server keeps refusing writes to the stream it failed to write, silently
and with free space, until it is restarted; its other streams work. A probe of another stream does
not show that, and a probe in the stream would grow the log. So the writes themselves are watched.
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
    """The outcome of the last write to each stream.

    ``connections`` counts how often the client has reconnected.
    """

    def __init__(self, connections: Callable[[], int] = lambda: 0) -> None:
        self._connections = connections
        self._refused: dict[str, tuple[int, str]] = {}

    def refused(self, stream: str, error: Exception) -> None:
        """Record that a write was refused or not acknowledged."""
        REFUSED.labels(stream).inc()
        _log.error("%s took no write: %r", stream, error)
        self._refused[stream] = (self._connections(), f"{type(error).__name__}: {error}")

    def stored(self, stream: str) -> None:
        """Record that a write was acknowledged."""
        if self._refused.pop(stream, None) is not None:
            _log.warning("%s takes writes again", stream)

    def faults(self) -> dict[str, str]:
        """Return the streams whose last write failed, with the reason, on this connection only.

        A restarted server has lost the state that made it refuse.
        """
        now = self._connections()
        return {stream: text for stream, (then, text) in self._refused.items() if then == now}
