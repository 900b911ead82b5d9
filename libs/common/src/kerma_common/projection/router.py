"""Which function projects which event type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kerma_common.contracts import registry
from kerma_common.errors import ContractViolation

if TYPE_CHECKING:
    from sqlalchemy import MetaData

    from kerma_common.contracts.envelope import Commit
    from kerma_common.projection.ops import Op

F = TypeVar("F", bound=Callable[..., "Iterable[Op]"])


@dataclass(frozen=True, slots=True)
class At:
    """Where an event stands: what a projection may use beside the event itself."""

    stream: str
    seq: int
    event_id: str
    time: datetime
    aggregate_id: str
    actor: str


@dataclass(slots=True)
class Projection:
    """One read model: its name, the streams it follows, and a pure function per event type.

    ``prepare`` runs before the transaction of a batch, may do IO, and must be idempotent; it is
    for bytes that rows need and events only refer to.
    """

    service: str
    name: str
    streams: tuple[str, ...]
    metadata: MetaData
    prepare: Callable[[Sequence[object]], Awaitable[None]] | None = None
    _routes: dict[type, Callable[..., Iterable[Op]]] = field(default_factory=dict)

    def on(self, event_class: type) -> Callable[[F], F]:
        """Register ``(event, at) -> operations`` for an event class.

        Raises ContractViolation for a private event of another service.
        """
        kind = registry.type_of(event_class)
        if kind.context != self.service and not kind.public:
            raise ContractViolation(f"{kind.name} is private to {kind.context}")

        def register(function: F) -> F:
            self._routes[event_class] = function
            return function

        return register

    def project(self, event: object, at: At) -> tuple[Op, ...]:
        """Row operations of one event; () for events that this read model ignores."""
        function = self._routes.get(type(event))
        return tuple(function(event, at)) if function else ()

    def wants(self, commit: Commit) -> bool:
        """Whether any event of the commit has a route; decided without decoding payloads."""
        names = self._names()
        return any(e.type in names for e in commit.events)

    def _names(self) -> frozenset[str]:
        return frozenset(registry.type_of(cls).name for cls in self._routes)


def placed(commit: Commit, stream: str, seq: int) -> list[tuple[Any, At]]:
    """The typed events of a commit with their places; unknown types come as None."""
    return [
        (e.decode(), At(stream, seq, e.id, e.time, commit.aggregate_id, commit.meta.actor))
        for e in commit.events
    ]
