"""A bell: wakes one waiting loop, and remembers a ring until the next wait."""

from __future__ import annotations

import asyncio


class Bell:
    """Wakes one waiting loop. Several rings between two waits count as one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiting loop, or end its next wait at once."""
        self._rung.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait for the next ring, or at most this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            pass
        self._rung.clear()
