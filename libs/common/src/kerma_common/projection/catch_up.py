"""How far the read models of a service are behind what was stored when it started.

Rows that are being rebuilt, or come from an older backup, give wrong answers until they have caught
up: short lists, unknown jobs, sessions that seem to have ended. So requests wait until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from kerma_common.clock import until_next
from kerma_common.db.engine import in_turn
from kerma_common.projection.retries.failures import delays, pause
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.projection.rows.tables import CHECKPOINT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kerma_common.commands.consistency import Positions
    from kerma_common.eventlog.port import EventLog
    from kerma_common.projection.router import Projection

LOOK_SECONDS = 0.5
"""Seconds between checks while something is behind; positions from other processes end it early."""
WATCH_SECONDS = 6.0
"""Seconds between checks while nothing is behind: a restore of the database may set rows back."""
_log = logging.getLogger(__name__)
_Key = tuple[str, str]
Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Lag:
    """A read model that holds ``stream`` up to ``reached``, behind ``target``."""

    projection: str
    stream: str
    reached: int
    target: int

    def __str__(self) -> str:
        return f"{self.stream}: {self.reached} of {self.target} commits"


@dataclass(slots=True)
class CatchUp:
    """Watch over the checkpoints of ``projections``, whichever process moves them.

    Run ``run`` as a background task of the service.
    """

    projections: Sequence[Projection]
    log: EventLog
    db: AsyncEngine
    positions: Positions
    retries: Persistence = field(init=False)
    behind: tuple[Lag, ...] = field(default=(), init=False)
    _targets: dict[_Key, int] = field(default_factory=dict, init=False)
    _stored: dict[_Key, int] = field(default_factory=dict, init=False)
    _went_back: set[_Key] = field(default_factory=set, init=False)
    _done: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self.retries = Persistence(self.projections[0].service, "catch-up")

    @property
    def done(self) -> bool:
        """Whether the rows hold everything that was stored at the start."""
        return self._done.is_set()

    async def wait(self) -> None:
        """Wait until the rows hold everything that was stored at the start."""
        await self._done.wait()

    def first(self, work: Work) -> Callable[[], Coroutine[Any, Any, None]]:
        """Run ``work`` after the rows have caught up."""

        async def then() -> None:
            await self.wait()
            await work()

        return then

    async def run(self) -> None:
        """Check the checkpoints periodically."""
        waits = delays()
        while True:
            try:
                await self._look()
            except Exception as error:
                self.retries.failed(self._look, error)
                await pause(waits)
            else:
                self.retries.recovered(self._look)
                waits = delays()
                await self._rest()

    async def _rest(self) -> None:
        if self.done:
            await asyncio.sleep(until_next(WATCH_SECONDS))
            return
        lag = self.behind[0]
        if (lag.projection, lag.stream) in self._went_back:
            await asyncio.sleep(LOOK_SECONDS)
        else:
            await self.positions.reach(lag.projection, lag.stream, lag.target, LOOK_SECONDS)

    async def _look(self) -> None:
        if not self._targets:
            self._targets = await self._ends()
        async with in_turn(self.db) as conn:
            found = await conn.execute(
                select(CHECKPOINT.c.name, CHECKPOINT.c.stream, CHECKPOINT.c.seq)
            )
            rows = {(row.name, row.stream): row.seq for row in found}
        behind = []
        for key, target in self._targets.items():
            stored, before = rows.get(key, 0), self._stored.get(key, 0)
            self._stored[key] = stored
            if stored < before:
                _log.error("%s went back from %d to %d of %s", key[0], before, stored, key[1])
                self._went_back.add(key)
                target = self._targets[key] = max(target, before)
            # A position that was heard of is as good as a stored one, unless a restore undid it.
            heard = 0 if key in self._went_back else self.positions.reached(*key)
            if (reached := max(stored, heard)) < target:
                behind.append(Lag(*key, reached, target))
            else:
                self._went_back.discard(key)
        self.behind = tuple(behind)
        if behind:
            self._done.clear()
        else:
            self._done.set()

    async def _ends(self) -> dict[_Key, int]:
        streams = {stream for projection in self.projections for stream in projection.streams}
        ends = {stream: (await self.log.state(stream)).last for stream in sorted(streams)}
        return {(p.name, stream): ends[stream] for p in self.projections for stream in p.streams}
