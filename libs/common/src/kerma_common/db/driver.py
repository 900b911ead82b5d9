"""A psycopg connection whose modes change without a pause.

psycopg yields to the event loop after every call while the loop is busy, even if the call did not
wait. SQLAlchemy changes the mode of a connection between taking it from the pool and handing it
out, and does not expect a cancellation there: the connection would never return to the pool, and
the garbage collector would report it. If the change took effect before the pause, nothing would
undo it, and a later transaction on the connection would not be atomic.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any

import psycopg
from psycopg import IsolationLevel


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that cannot be cancelled while its mode changes, which needs no server."""

    async def set_autocommit(self, value: bool) -> None:
        """Turn transactions around single statements on or off."""
        await _without_pauses(super().set_autocommit(value))

    async def set_isolation_level(self, value: IsolationLevel | None) -> None:
        """Set the isolation of later transactions; None is the server's default."""
        await _without_pauses(super().set_isolation_level(value))


@coroutine
def _without_pauses(call: Awaitable[None]) -> Generator[Any, None, None]:
    """Await a call; skip its `sleep(0)`, which yields None where a wait yields a future."""
    for step in call.__await__():
        if step is not None:
            yield step
