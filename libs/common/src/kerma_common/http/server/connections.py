"""The open connections of one server: their limits, and which one is closed at a limit.

At a limit, a new connection replaces the oldest one that has not sent a whole request yet, or else
the one that has been idle longest. A client that opens thousands of connections and leaves them
half open thereby closes its own, while a client that sends a request at once always gets in. A
connection whose request is being answered is never closed for another one; if there are only such
connections, the new one gets 503.
"""

from __future__ import annotations

import logging
import resource
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
"""File descriptors reserved for databases, blobs and children if connections take the rest."""


class Connection(Protocol):
    """One connection of a client, as the register sees it."""

    @property
    def address(self) -> str:
        """The client's address."""

    def make_room(self) -> None:
        """Close: another connection takes this place."""

    def check(self, now: float) -> None:
        """Close if the client is too slow; `now` is in seconds of the loop's clock."""


class _Group:
    """Connections that share a limit; dicts keep insertion order, so the oldest comes first."""

    def __init__(self) -> None:
        self.all: dict[Connection, None] = {}
        self.opening: dict[Connection, None] = {}
        self.idle: dict[Connection, None] = {}

    def oldest(self) -> Connection | None:
        """Return the connection to close for another one, or None."""
        for waiting in (self.opening, self.idle):
            for connection in waiting:
                return connection
        return None


class Connections:
    """Register of connections, overall and by address, with those that wait for a request."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        self.most = affordable(settings.connections)
        self._everybody = _Group()
        self._by_address: dict[str, _Group] = {}

    def __len__(self) -> int:
        return len(self._everybody.all)

    def admit(self, connection: Connection) -> bool:
        """Register a new connection, closing another one if necessary.

        Returns False if there is no room.
        """
        address = self._by_address.get(connection.address, _Group())
        most = self.settings.connections_per_address
        if len(address.all) >= most and not self._make_room(address, "connections of an address"):
            return False
        if len(self) >= self.most and not self._make_room(self._everybody, "connections"):
            return False
        # Making room may have closed the last connection of this address.
        address = self._by_address.setdefault(connection.address, address)
        for group in (self._everybody, address):
            group.all[connection] = None
            group.opening[connection] = None
        OPEN.set(len(self))
        return True

    def opening(self, connection: Connection) -> None:
        """Note that the connection has sent part of a request head."""
        for group in self._groups(connection):
            group.idle.pop(connection, None)
            group.opening[connection] = None

    def busy(self, connection: Connection) -> None:
        """Note that the connection has sent a request head and is being answered."""
        for group in self._groups(connection):
            group.idle.pop(connection, None)
            group.opening.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """Note that the connection has its response and may send another request."""
        for group in self._groups(connection):
            group.opening.pop(connection, None)
            group.idle[connection] = None

    def forget(self, connection: Connection) -> None:
        """Remove a closed connection; doing so twice is harmless."""
        groups = self._groups(connection)
        self.busy(connection)
        for group in groups:
            del group.all[connection]
        if groups and not groups[1].all:
            del self._by_address[connection.address]
        OPEN.set(len(self))

    def sweep(self, now: float) -> None:
        """Close connections that are too slow."""
        for connection in list(self._everybody.all):
            connection.check(now)

    def _groups(self, connection: Connection) -> tuple[_Group, ...]:
        if connection not in self._everybody.all:
            return ()
        return self._everybody, self._by_address[connection.address]

    def _make_room(self, group: _Group, reason: str) -> bool:
        REFUSED.labels(reason).inc()
        connection = group.oldest()
        if connection is None:
            return False
        self.forget(connection)
        connection.make_room()
        return True


def affordable(wanted: int) -> int:
    """Raise the limit of open files and return how many connections the process may hold."""
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
