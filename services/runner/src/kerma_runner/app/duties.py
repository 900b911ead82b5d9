"""What the leader of the queue does beside projecting it: dispatch and expire.

Whoever leads the projection of the queue is the dispatcher, under the same fenced lease, and is
woken by what it projected itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kerma_common.projection.failures import delays, pause
from kerma_common.projection.runner import ProjectionSink
from kerma_runner.app.bell import Bell

if TYPE_CHECKING:
    from kerma_common.contracts.envelope import Recorded
    from kerma_common.infra import Clock
    from kerma_common.projection.persistence import Persistence
    from kerma_common.projection.sink import Transaction

Round = Callable[[], Awaitable[datetime | None]]


@dataclass(slots=True)
class QueueSink(ProjectionSink):
    """The projection of the queue, and rounds of work that follow from its changes.

    ``rounds`` makes them anew for each leadership, so that nothing is remembered from an earlier
    one, and gives them the fenced transaction in which they write. A round returns when it wants
    to run again if nothing changes before. The first round waits for ``caught_up``: rows of the
    past would make it offer tasks that have ended and retire workers that live.
    """

    rounds: Callable[[Transaction], Sequence[Round]]
    clock: Clock
    caught_up: Callable[[], Awaitable[None]]
    _bells: list[Bell] = field(default_factory=list, init=False)

    async def apply(
        self, records: Sequence[Recorded], transaction: Transaction, fenced: Transaction
    ) -> None:
        """Project a batch, then let the rounds look at it."""
        # not super(): a slotted dataclass is another class than the one the cell refers to
        await ProjectionSink.apply(self, records, transaction, fenced)
        self.ring()

    def ring(self) -> None:
        """Let the rounds look."""
        for bell in self._bells:
            bell.ring()

    def duties(
        self, transaction: Transaction, retries: Persistence
    ) -> Sequence[Coroutine[Any, Any, None]]:
        """Every round, again and again."""
        rounds = self.rounds(transaction)
        self._bells = [Bell() for _ in rounds]
        pairs = zip(rounds, self._bells, strict=True)
        return [self._repeat(action, bell, retries) for action, bell in pairs]

    async def _repeat(self, action: Round, bell: Bell, retries: Persistence) -> None:
        await self.caught_up()
        waits = delays()
        while True:
            try:
                due = await action()
            except Exception as error:
                retries.failed(action, error)
                await pause(waits)
                continue
            retries.recovered(action)
            waits = delays()
            seconds = None if due is None else (due - self.clock()).total_seconds()
            await bell.wait(seconds if seconds is None else max(0.0, seconds))
