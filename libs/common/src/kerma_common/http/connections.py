"""The open connections of one server: how many there may be, and which one goes first.

Where a limit is reached, a new connection takes the place of the oldest one that has not sent a
whole request yet, then of the one that has been idle longest. So whoever opens thousands of
connections and leaves them half open closes their own, while somebody who sends a request at once
always gets in. A connection whose request is being answered is never closed for another one; if
there are only such, the new one is told to come back.
"""

from __future__ import annotations

import logging
import resource
from collections import Counter
from typing import Protocol

from prometheus_client import Counter as MetricCounter
from prometheus_client import Gauge

from kerma_common.settings import HttpSettings

logger = logging.getLogger(__name__)

OPEN = Gauge("http_connections", "Open connections")
REFUSED = MetricCounter(
    "http_connections_closed", "Connections closed by a limit of the HTTP edge", ("reason",)
)
OTHER_FILES = 512
"""Descriptors left for databases, blobs and children when connections take all they may."""


class Connection(Protocol):
    """One connection of a client, as the register sees it."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    def make_room(self) -> None:
        """Close: another connection takes this place."""

    def check(self, now: float) -> None:
        """Close when the client is too slow; `now` in seconds of the loop's clock."""


class Connections:
    """Counts connections, all and by address, and remembers which of them wait for a request."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        self.most = affordable(settings.connections)
        self._all: dict[Connection, None] = {}
        self._by_address: Counter[str] = Counter()
        # dicts keep the order of insertion: the oldest comes first
        self._opening: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def admit(self, connection: Connection) -> bool:
        """Take in a new connection, closing another one for it if need be; False: no room."""
        address = connection.address
        crowded = self._by_address[address] >= self.settings.connections_per_address
        if crowded and not self._close_one("connections of an address", address):
            return False
        if len(self._all) >= self.most and not self._close_one("connections", None):
            return False
        self._all[connection] = None
        self._by_address[address] += 1
        self._opening[connection] = None
        OPEN.set(len(self._all))
        return True

    def opening(self, connection: Connection) -> None:
        """The connection has begun, but not finished, to send the head of a request."""
        self._idle.pop(connection, None)
        self._opening[connection] = None

    def busy(self, connection: Connection) -> None:
        """The connection has sent the head of a request, which is now being answered."""
        self._idle.pop(connection, None)
        self._opening.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """The connection has got its answer and may send another request."""
        self._opening.pop(connection, None)
        self._idle[connection] = None

    def forget(self, connection: Connection) -> None:
        """The connection is closed; saying it twice is harmless."""
        if connection not in self._all:
            return
        del self._all[connection]
        self.busy(connection)
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]
        OPEN.set(len(self._all))

    def sweep(self, now: float) -> None:
        """Close connections that are too slow."""
        for connection in list(self._all):
            connection.check(now)

    def _close_one(self, reason: str, address: str | None) -> bool:
        for waiting in (self._opening, self._idle):
            for connection in waiting:
                if address in (None, connection.address):
                    REFUSED.labels(reason).inc()
                    self.forget(connection)
                    connection.make_room()
                    return True
        REFUSED.labels(reason).inc()
        return False


def affordable(wanted: int) -> int:
    """How many connections the process may hold, after raising its limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = max(soft // 2, soft - OTHER_FILES)
    logger.warning("the limit of open files (%d) allows %d connections, not %d", hard, most, wanted)
    return most
