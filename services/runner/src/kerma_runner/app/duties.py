"""Work of the queue's leader beside projecting: dispatch and expiry.

The process that leads the projection of the queue also dispatches and expires, under the same
fenced lease. Its own projected changes wake it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kerma_common.projection.retries.failures import delays, pause
from kerma_common.projection.runner import ProjectionSink
from kerma_runner.app.bell import Bell

if TYPE_CHECKING:
    from kerma_common.contracts.envelope import Recorded
    from kerma_common.infra import Clock
    from kerma_common.projection.retries.persistence import Persistence
    from kerma_common.projection.sink import Revise, Store, Transaction


@dataclass(frozen=True, slots=True)
class Round:
    """Work that is repeated, at most once per ``rest`` seconds.

    ``run`` returns when it wants to run again if nothing changes before.
    """

    run: Callable[[], Awaitable[datetime | None]]
    rest: float = 0.0


@dataclass(slots=True)
class QueueSink(ProjectionSink):
    """Projects the queue, and runs rounds of work when it has changed.

    ``rounds`` makes the rounds anew for each leadership, so that they remember nothing from an
    earlier one, and passes them the fenced transaction in which they write. The first round waits
    for ``caught_up``: on old rows it would offer tasks that have ended and retire workers that are
    alive.
    """

    rounds: Callable[[Transaction], Sequence[Round]]
    clock: Clock
    caught_up: Callable[[], Awaitable[None]]
    _bells: list[Bell] = field(default_factory=list, init=False)

    async def apply(
        self,
        records: Sequence[Recorded],
        store: Store,
        revise: Revise,
        fenced: Transaction,
    ) -> None:
        """Project a batch, then wake the rounds."""
        # not super(): a slotted dataclass is not the class that the closure's cell refers to
        await ProjectionSink.apply(self, records, store, revise, fenced)
        self.ring()

    def ring(self) -> None:
        """Wake the rounds."""
        for bell in self._bells:
            bell.ring()

    def duties(
        self,
        transaction: Transaction,
        store: Store,  # noqa: ARG002 - part of the protocol
        retries: Persistence,
    ) -> Sequence[Coroutine[Any, Any, None]]:
        """Run every round, again and again."""
        rounds = self.rounds(transaction)
        self._bells = [Bell() for _ in rounds]
        pairs = zip(rounds, self._bells, strict=True)
        return [self._repeat(one, bell, retries) for one, bell in pairs]

    async def _repeat(self, one: Round, bell: Bell, retries: Persistence) -> None:
        await self.caught_up()
        waits = delays()
        while True:
            try:
                due = await one.run()
            except Exception as error:
                retries.failed(one, error)
                await pause(waits)
                continue
            retries.recovered(one)
            waits = delays()
            await asyncio.sleep(one.rest)
            seconds = None if due is None else (due - self.clock()).total_seconds()
            await bell.wait(seconds if seconds is None else max(0.0, seconds))
