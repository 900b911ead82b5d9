"""Places for deliveries: few at a time, shared fairly by those who have a key.

A delivery is read as it arrives, so a slow one holds its place for long. One of a job waits for
another of the same job, and an owner holds at most ``PER_OWNER`` places; of the owners who wait, the
one whose last turn began longest ago comes first. The edge ends bodies that come too slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from kerma_common.errors import TooManyRequests, Unavailable
from kerma_results.app.turns import Turns

PER_OWNER = 2
PER_JOB = 4
"""Deliveries of one kind of one job that have a place or wait for it."""
WAIT_SECONDS = 30.0
"""Longest wait, first for others of the same job, then for a place."""
RETRY_SECONDS = 5.0
FULL = "Too many results are being delivered; please try again"
BUSY = "Another delivery of this job is being read; please try again"
_ANY = 1 << 30


@dataclass(slots=True)
class Places:
    """The places of this process."""

    at_once: int
    _jobs: Turns = field(default_factory=lambda: Turns(_ANY, 1), init=False)
    _owners: Turns = field(init=False)

    def __post_init__(self) -> None:
        self._owners = Turns(self.at_once, PER_OWNER)

    @asynccontextmanager
    async def place(self, owner: str, of: str) -> AsyncGenerator[None, None]:
        """Wait for a place for what is delivered ``of`` a job, whose key is verified.

        Raises TooManyRequests for too many of the same, Unavailable if no place becomes free.
        """
        busy = TooManyRequests(BUSY, RETRY_SECONDS)
        if self._jobs.number(of) >= PER_JOB:
            raise busy
        async with AsyncExitStack() as stack:
            for turns, whose, refusal in (
                (self._jobs, of, busy),
                (self._owners, owner, Unavailable(FULL, RETRY_SECONDS)),
            ):
                try:
                    async with asyncio.timeout(WAIT_SECONDS):
                        await stack.enter_async_context(turns.turn(whose))
                except TimeoutError:
                    raise refusal from None
            yield
