"""The pure core of an aggregate: decide and evolve."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class Aggregate(Generic[S]):
    """How one kind of aggregate decides and remembers.

    ``decide(state, command)`` gives the events that become true, () when the command changes
    nothing, or raises Rejected; ``evolve(state, event)`` is total over stored events. Both name
    the union of what they take and end with ``assert_never``, so that mypy finds what they forget.
    """

    context: str
    name: str
    initial: S
    decide: Callable[[S, Any], tuple[object, ...]]
    evolve: Callable[[S, Any], S]

    def fold(self, state: S, events: Iterable[object]) -> S:
        """State after ``events``."""
        return reduce(self.evolve, events, state)


class Rejected(Exception):  # noqa: N818 - a verdict, not a fault
    """The rules of the aggregate forbid the command; ``code`` is stable, ``message`` for people."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class Missing(Rejected):
    """The command is about something that does not exist."""
