"""Group commit: what callers ask for while a step runs is done together by the next step.

A caller carries out the step for all who wait; its successor is the first who came meanwhile. So
there is no background task and no pause, and a single caller waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kerma_common.errors import Unavailable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
LOST = "The request that this one was carried out with was given up; try again"


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Outcome]):
    """A caller; ``turn`` ends with the outcome, or with None if it has to carry out the next step."""

    item: Item
    turn: asyncio.Future[Outcome | None]


@dataclass(slots=True)
class Grouped(Generic[Item, Outcome]):
    """Steps one after the other, each of items that weigh ``most`` together, or of a single one.

    ``step`` returns an outcome, never None, for each item. If it fails, all of its callers get the
    exception.
    """

    step: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]]
    most: int = 64
    weigh: Callable[[Item], int] = lambda _: 1
    _queue: list[_Waiting[Item, Outcome]] = field(default_factory=list, init=False)
    _busy: bool = field(default=False, init=False)

    @property
    def idle(self) -> bool:
        """Whether nobody waits or works."""
        return not self._busy

    async def do(self, item: Item) -> Outcome:
        """Return the outcome of an item. Raises what ``step`` does, and Unavailable."""
        own = _Waiting[Item, Outcome](item, asyncio.get_running_loop().create_future())
        self._queue.append(own)
        if self._busy:
            outcome = await self._turn_of(own)
            if outcome is not None:
                return outcome
        self._busy = True
        return await self._lead(own)

    async def _turn_of(self, own: _Waiting[Item, Outcome]) -> Outcome | None:
        try:
            return await own.turn
        except asyncio.CancelledError:
            if own in self._queue:
                self._queue.remove(own)
                if own.turn.done() and not own.turn.cancelled():
                    self._hand_over()  # it was to lead
            raise

    async def _lead(self, own: _Waiting[Item, Outcome]) -> Outcome:
        group = self._next()
        failure: BaseException = Unavailable(LOST)
        try:
            outcomes = await self.step([waiting.item for waiting in group])
        except Exception as error:
            failure = error
            raise
        else:
            for waiting, outcome in zip(group, outcomes, strict=True):
                if not waiting.turn.done():
                    waiting.turn.set_result(outcome)
            return outcomes[group.index(own)]
        finally:
            for waiting in group:
                if waiting is not own and not waiting.turn.done():
                    waiting.turn.set_exception(failure)
            self._hand_over()

    def _next(self) -> list[_Waiting[Item, Outcome]]:
        """Take the next group from the queue."""
        number, weight = 0, 0
        for waiting in self._queue:
            weight += self.weigh(waiting.item)
            if number and weight > self.most:
                break
            number += 1
        group, self._queue = self._queue[:number], self._queue[number:]
        return group

    def _hand_over(self) -> None:
        # those that were cancelled a moment ago have not left the queue yet
        self._queue = [waiting for waiting in self._queue if not waiting.turn.cancelled()]
        self._busy = bool(self._queue)
        if self._queue:
            self._queue[0].turn.set_result(None)
