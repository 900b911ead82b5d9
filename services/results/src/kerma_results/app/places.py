"""Places for delivered bodies: few at a time, and none held by somebody without a key.

A body is read as it arrives, so a slow one holds its place for long. Until its key is verified, it
may have to make room for a newcomer; afterwards its owner holds at most ``PER_OWNER`` places.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kerma_common.errors import TooManyRequests, Unavailable

PER_OWNER = 2
GRACE_SECONDS = 10.0
"""Seconds that a body without a verified key may keep newcomers waiting."""
WAIT_SECONDS = 30.0
"""Longest wait for a place."""
RETRY_SECONDS = 5.0
FULL = "Too many results are being delivered; please try again"


@dataclass(eq=False, slots=True)
class Place:
    """The place of one body."""

    since: float
    _places: Places
    owner: str = ""
    _dropped: bool = False

    def check(self) -> None:
        """Raise Unavailable if the place went to another body."""
        if self._dropped:
            raise Unavailable(FULL, RETRY_SECONDS)

    def drop(self) -> None:
        """Take the place away."""
        self._dropped = True

    @property
    def dropped(self) -> bool:
        """Whether the place was taken away."""
        return self._dropped

    async def verified(self, owner: str) -> None:
        """Keep the place for good, once the owner has few enough: scripts do not try again.

        Raises TooManyRequests if that takes too long, Unavailable if the place is lost meanwhile.
        """
        await self._places.claim(self, owner)


@dataclass(slots=True)
class Places:
    """The places of this process."""

    at_once: int
    _taken: list[Place] = field(default_factory=list)
    _owners: Counter[str] = field(default_factory=Counter)
    _free: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[Place, None]:
        """Wait for a place. Raises Unavailable if none becomes free."""
        place = await self._take()
        try:
            yield place
        finally:
            if place.owner:
                self._owners[place.owner] -= 1
            if place in self._taken:
                self._taken.remove(place)
            async with self._free:
                self._free.notify_all()

    async def claim(self, place: Place, owner: str) -> None:
        """See ``Place.verified``."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._free:
                await self._free.wait_for(lambda: place.dropped or self._owners[owner] < PER_OWNER)
        except TimeoutError:
            raise TooManyRequests(FULL, RETRY_SECONDS) from None
        place.check()
        self._owners[owner] += 1
        place.owner = owner

    async def _take(self) -> Place:
        loop = asyncio.get_running_loop()
        end = loop.time() + WAIT_SECONDS
        async with self._free:
            while len(self._taken) >= self.at_once:
                self._make_room(loop.time())
                if len(self._taken) < self.at_once:
                    break
                until = min([end, *(p.since + GRACE_SECONDS for p in self._taken if not p.owner)])
                try:
                    async with asyncio.timeout_at(until):
                        await self._free.wait()
                except TimeoutError:
                    if loop.time() >= end:
                        raise Unavailable(FULL, RETRY_SECONDS) from None
            place = Place(loop.time(), self)
            self._taken.append(place)
            return place

    def _make_room(self, now: float) -> None:
        """Drop the oldest body that has had time to show its key and has not."""
        for place in self._taken:
            if not place.owner and now >= place.since + GRACE_SECONDS:
                place.drop()
                self._taken.remove(place)
                return
