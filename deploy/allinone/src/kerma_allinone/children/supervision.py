"""Keep children alive: restart one that ends, end the program if it keeps ending."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kerma_allinone.children.process import ChildError
from kerma_common.service import ServiceError

if TYPE_CHECKING:
    from kerma_allinone.children.process import Child

MOST_ENDS = 5
WITHIN_SECONDS = 60.0
FIRST_PAUSE = 0.1
ROOM_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Supervised(Protocol):
    """A child that can be started again in place."""

    @property
    def child(self) -> Child:
        """The present process."""

    async def restart(self) -> None:
        """Start it again after it has ended; raises ChildError when it does not come up."""


@dataclass(slots=True)
class Restarts:
    """How often a child ended lately; times in seconds of a monotonic clock."""

    _ends: list[float] = field(default_factory=list)

    def pause(self, now: float) -> float | None:
        """Return the seconds before the next start, doubled each time; None to give up."""
        self._ends = [*(end for end in self._ends if now - end < WITHIN_SECONDS), now]
        if len(self._ends) > MOST_ENDS:
            return None
        return FIRST_PAUSE * 2.0 ** (len(self._ends) - 1)


async def keep(supervised: Supervised, has_room: Callable[[], bool] = lambda: True) -> None:
    """Start a child again whenever it ends, once the disk has room for it.

    Raises ServiceError when it keeps ending.
    """
    restarts = Restarts()
    while True:
        await supervised.child.wait()
        ended = supervised.child
        await _room(ended.name, has_room)
        pause = restarts.pause(time.monotonic())
        if pause is None:
            raise ServiceError(
                f"gave up after {MOST_ENDS} restarts within {WITHIN_SECONDS:.0f} s: "
                f"{ended.failure()}"
            )
        _log.warning("%s ended with status %s; starting it again", ended.name, ended.returncode)
        await asyncio.sleep(pause)
        try:
            await supervised.restart()
        except ChildError:
            if has_room():
                raise
            _log.exception("%s did not start on a full disk", ended.name)


async def _room(name: str, has_room: Callable[[], bool]) -> None:
    """Poll for room: nothing signals that a disk has room again."""
    if has_room():
        return
    _log.error("%s ended and the disk is full; it starts again when there is room", name)
    while not has_room():  # noqa: ASYNC110
        await asyncio.sleep(ROOM_SECONDS)
