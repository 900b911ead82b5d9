"""Restart a server that refuses writes though its disk has room.

NATS keeps refusing a stream that it failed to write on a full disk; PostgreSQL may get into the
same state. Their data is intact, and a restart heals them. A server that answers nobody is left alone: it
hangs, and goes on by itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kerma_common.clock import until_next

if TYPE_CHECKING:
    from kerma_allinone.children.supervision import Supervised

LOOK_SECONDS = 1.0
PATIENCE = {"nats": 6.0, "postgres": 30.0}
"""Seconds of refusals before a restart: NATS never recovers by itself, PostgreSQL mostly does."""
PAUSE_SECONDS = 60.0
"""Seconds between two restarts of one server."""
STOP = {"nats": signal.SIGTERM, "postgres": signal.SIGINT}
_log = logging.getLogger(__name__)


class Refusing(Protocol):
    """What a service reports about its servers."""

    def refusing(self) -> Mapping[str, str]:
        """Return the servers that refuse writes, with the evidence."""


@dataclass(slots=True)
class Healing:
    """Ends ``servers``, by name, that refuse writes; their supervisor starts them again."""

    services: Sequence[Refusing]
    servers: Mapping[str, Supervised]
    has_room: Callable[[], bool]
    answers: Callable[[str], Awaitable[bool]]
    clock: Callable[[], float] = time.monotonic
    _since: dict[str, float] = field(default_factory=dict, init=False)
    _mended: dict[str, float] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Check the servers periodically, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(until_next(LOOK_SECONDS))

    async def look(self) -> None:
        """End the servers that have refused writes for long enough while there is room."""
        now, refusals = self.clock(), self._refusals()
        for name, server in self.servers.items():
            refuses = name in refusals and server.child.returncode is None and self.has_room()
            if not refuses or not await self.answers(name):
                self._since.pop(name, None)
                continue
            since = self._since.setdefault(name, now)
            last = self._mended.get(name)
            if now - since < PATIENCE[name] or (last is not None and now - last < PAUSE_SECONDS):
                continue
            _log.error("%s takes no writes though the disk has room: %s", name, refusals[name])
            self._mended[name] = now
            del self._since[name]
            await server.child.stop(STOP[name])

    def _refusals(self) -> dict[str, str]:
        return {name: why for service in self.services for name, why in service.refusing().items()}
