"""The queue of logins and registrations: bounded, and fair over addresses and names.

Addresses take turns, and so do the names within an address: a flood from one address delays others
by one hash per round, and a flood on one name delays other names of that address as little. When the
queue is full, a newcomer takes the place of the last request of whichever address waits most, so a
flood pushes out its own requests.

Behind a gateway all requests come from its address, and only names take turns.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kerma_auth.app.ports import Caller
from kerma_common.addresses import site
from kerma_common.errors import Unavailable

FULL = "Too many people are logging in; please try again"

Turn = asyncio.Future[None]


@dataclass(slots=True)
class _Address:
    """The waiting requests of one address by name; the name whose turn is next comes first."""

    names: OrderedDict[str, deque[Turn]] = field(default_factory=OrderedDict)

    @property
    def size(self) -> int:
        return sum(map(len, self.names.values()))


class LoginQueue:
    """Grants ``at_once`` turns at a time in one event loop; at most ``most_waiting`` wait."""

    def __init__(self, most_waiting: int, at_once: int = 1) -> None:
        self._most_waiting = most_waiting
        self._free = at_once
        # the address whose turn is next comes first
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self.waiting = 0

    @asynccontextmanager
    async def turn(self, caller: Caller) -> AsyncGenerator[None, None]:
        """Wait for a turn.

        Raises Unavailable when the queue is full and no address has more waiting than this one.
        """
        address, turn = site(caller.address), asyncio.get_running_loop().create_future()
        if self._free and not self.waiting:
            self._free -= 1
            turn.set_result(None)
        else:
            self._enter(address, caller.username, turn)
        try:
            await turn
            yield
        finally:
            self._leave(address, caller.username, turn)

    def _enter(self, address: str, name: str, turn: Turn) -> None:
        if self.waiting >= self._most_waiting:
            self._make_room(address, name)
        waiting = self._addresses.setdefault(address, _Address())
        waiting.names.setdefault(name, deque()).append(turn)
        self.waiting += 1

    def _make_room(self, address: str, name: str) -> None:
        """Refuse the last request of the name that waits most at the address that waits most."""
        own = self._addresses.get(address) or _Address()
        longest, most = max(self._addresses.items(), key=lambda item: item[1].size)
        if most.size <= own.size:
            longest, most = address, own
        busiest, turns = max(most.names.items(), key=lambda item: len(item[1]))
        if most is own and len(turns) <= len(own.names.get(name, ())):
            raise Unavailable(FULL)
        refused = turns[-1]
        self._remove(longest, busiest, refused)
        refused.set_exception(Unavailable(FULL))

    def _leave(self, address: str, name: str, turn: Turn) -> None:
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._free += 1
        elif address in self._addresses:
            self._remove(address, name, turn)
        while self._free and self.waiting:
            self._grant()

    def _grant(self) -> None:
        address, waiting = next(iter(self._addresses.items()))
        name, turns = next(iter(waiting.names.items()))
        turn = turns[0]
        self._remove(address, name, turn)
        if name in waiting.names:
            waiting.names.move_to_end(name)
        if address in self._addresses:
            self._addresses.move_to_end(address)
        if not turn.done():  # otherwise it is cancelled and about to leave
            self._free -= 1
            turn.set_result(None)

    def _remove(self, address: str, name: str, turn: Turn) -> None:
        waiting = self._addresses[address]
        turns = waiting.names.get(name)
        if turns is None or turn not in turns:
            return
        turns.remove(turn)
        self.waiting -= 1
        if not turns:
            del waiting.names[name]
        if not waiting.names:
            del self._addresses[address]
