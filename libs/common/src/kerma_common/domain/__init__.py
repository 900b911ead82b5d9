"""The pure core of an aggregate: decide and evolve."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class Aggregate(Generic[S]):
    """The functions of one kind of aggregate.

    ``decide(state, command)`` returns the events that become true, () if the command changes
    nothing, or raises Rejected; ``evolve(state, event)`` accepts every stored event. Both annotate
    the union of what they accept and end with ``assert_never``, so mypy finds missing cases.
    """

    context: str
    name: str
    initial: S
    decide: Callable[[S, Any], tuple[object, ...]]
    evolve: Callable[[S, Any], S]

    def fold(self, state: S, events: Iterable[object]) -> S:
        """Return the state after ``events``."""
        return reduce(self.evolve, events, state)


class Rejected(Exception):  # noqa: N818 - a verdict, not a fault
    """A rule of the aggregate forbids the command; ``code`` is stable, ``message`` for people."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class Missing(Rejected):
    """The command is about something that does not exist."""
