"""A bell: wakes one waiting loop, and remembers a ring that nobody waited for."""

from __future__ import annotations

import asyncio


class Bell:
    """Rings between two waits count as one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or whoever waits next."""
        self._rung.set()

    async def wait(self, seconds: float | None) -> None:
        """Until the next ring, or at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            pass
        self._rung.clear()
