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
    """A caller; ``turn`` ends with the outcome, or with the group whose step it has to carry out."""

    item: Item
    turn: asyncio.Future[Outcome | _Group[Item, Outcome]]


@dataclass(frozen=True, slots=True, eq=False)
class _Group(Generic[Item, Outcome]):
    """Callers of one step; the first carries it out."""

    callers: Sequence[_Waiting[Item, Outcome]]


@dataclass(slots=True)
class Grouped(Generic[Item, Outcome]):
    """Steps of items that weigh ``most`` together, or of a single one; one at a time.

    Two at a time would each be smaller, and cost more together: see ADR 0050.
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
        self._begin()
        try:
            turn = await own.turn
        except asyncio.CancelledError:
            self._leave(own)
            raise
        return await self._lead(turn) if isinstance(turn, _Group) else turn

    def _begin(self) -> None:
        """Let the first who waits carry out a step, unless one runs."""
        # those that were cancelled a moment ago have not left the queue yet
        self._queue = [waiting for waiting in self._queue if not waiting.turn.cancelled()]
        if self._queue and not self._busy:
            self._busy = True
            group = _Group(self._next())
            group.callers[0].turn.set_result(group)

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

    def _leave(self, own: _Waiting[Item, Outcome]) -> None:
        if own in self._queue:
            self._queue.remove(own)
        elif own.turn.done() and not own.turn.cancelled():
            turn = own.turn.result()
            if isinstance(turn, _Group):  # it was to lead
                self._queue = [*turn.callers[1:], *self._queue]
                self._busy = False
                self._begin()

    async def _lead(self, group: _Group[Item, Outcome]) -> Outcome:
        failure: BaseException = Unavailable(LOST)
        others = group.callers[1:]
        try:
            outcomes = await self.step([waiting.item for waiting in group.callers])
        except Exception as error:
            failure = error
            raise
        else:
            for waiting, outcome in zip(others, outcomes[1:], strict=True):
                if not waiting.turn.done():
                    waiting.turn.set_result(outcome)
            return outcomes[0]
        finally:
            for waiting in others:
                if not waiting.turn.done():
                    waiting.turn.set_exception(failure)
            self._busy = False
            self._begin()
