"""What happens between a stop signal and the end of the services."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerma_allinone.children.supervision import Supervised

LAST_SECONDS = 7.0
"""Seconds after a stop signal until the remaining servers are killed; the docs promise ten.

What waits for a server that does not answer ends then, before the whole process has to.
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of the ``servers``, after that of the worker."""

    servers: Sequence[Supervised]
    stop_worker: Callable[[], Awaitable[None]] | None

    async def run(self) -> None:
        """Let the worker hand back its tasks while the services can still take them."""
        asyncio.get_running_loop().call_later(LAST_SECONDS, self.kill)
        if self.stop_worker is not None:
            await self.stop_worker()

    def kill(self) -> None:
        """Kill the servers. Their death signals would not reach one that is suspended."""
        for server in self.servers:
            server.child.send(signal.SIGKILL)
