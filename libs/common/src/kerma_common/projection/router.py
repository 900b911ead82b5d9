"""Which function projects which event type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kerma_common.contracts import registry
from kerma_common.errors import ContractViolation

if TYPE_CHECKING:
    from sqlalchemy import MetaData

    from kerma_common.projection.rows.ops import Op
    from kerma_common.projection.sink import Transaction

F = TypeVar("F", bound=Callable[..., "Iterable[Op]"])
Prepare = Callable[[Sequence[object], "Transaction"], Awaitable[Sequence[object]]]


class At(NamedTuple):
    """The place of an event: what a projection may use besides the event.

    ``trace`` is the trace context of the commit, a ``traceparent``.
    """

    stream: str
    seq: int
    event_id: str
    time: datetime
    aggregate_id: str
    actor: str
    trace: str | None = None


@dataclass(slots=True)
class Projection:
    """One read model: its name, the streams it follows, and a pure function per event type.

    Functions that project events of different streams write different columns of a row and create
    it if it does not exist yet (``Upsert``), because streams have no common order.

    ``prepare`` runs before the transaction of a batch, may do IO, and must be idempotent. It loads
    bytes that rows need and events only refer to, and returns the events to project, one for one,
    with those bytes filled in. It writes rows in ``fenced`` transactions only: these fail once
    another process leads.

    ``revision`` grows whenever the tables or the meaning of their rows change: a release that finds
    rows of another revision rebuilds them from the log.
    """

    service: str
    name: str
    streams: tuple[str, ...]
    metadata: MetaData
    prepare: Prepare | None = None
    revision: int = 1
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
        """Return the row operations of one event; () for events that this read model ignores."""
        function = self._routes.get(type(event))
        return tuple(function(event, at)) if function else ()

    @property
    def wanted(self) -> frozenset[str]:
        """Return the event types that have a route: no other payload is decoded."""
        return frozenset(registry.type_of(cls).name for cls in self._routes)
