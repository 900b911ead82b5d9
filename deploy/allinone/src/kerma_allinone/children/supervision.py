"""Keeping children alive: what ends is started again, what keeps ending ends the program."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kerma_common.service import ServiceError

if TYPE_CHECKING:
    from kerma_allinone.children.process import Child

MOST_ENDS = 5
WITHIN_SECONDS = 60.0
FIRST_PAUSE = 0.1
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
        """Seconds before the next start, twice as many each time; None when it is in vain."""
        self._ends = [*(end for end in self._ends if now - end < WITHIN_SECONDS), now]
        if len(self._ends) > MOST_ENDS:
            return None
        return FIRST_PAUSE * 2.0 ** (len(self._ends) - 1)


async def keep(supervised: Supervised) -> None:
    """Start a child again whenever it ends. Raises ServiceError when that is in vain."""
    restarts = Restarts()
    while True:
        await supervised.child.wait()
        ended = supervised.child
        pause = restarts.pause(time.monotonic())
        if pause is None:
            raise ServiceError(
                f"gave up after {MOST_ENDS} restarts within {WITHIN_SECONDS:.0f} s: "
                f"{ended.failure()}"
            )
        _log.warning("%s ended with status %s; starting it again", ended.name, ended.returncode)
        await asyncio.sleep(pause)
        await supervised.restart()
