"""The port that read models and process managers implement: what a loop does with commits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from kerma_common.contracts.envelope import Recorded
    from kerma_common.projection.retries.persistence import Persistence
    from kerma_common.projection.rows.ops import Op

Transaction = Callable[[], AbstractAsyncContextManager["AsyncConnection"]]
Store = Callable[[Sequence["Op"]], Awaitable[None]]
Query = Callable[[str], tuple[bytes, Sequence[object]]]
"""Returns a statement, and its parameters, for the schema that it is given."""
React = Callable[[Sequence[tuple[Any, ...]]], Sequence["Op"]]
"""Returns the operations that follow from rows."""
Revise = Callable[[Query, React], Awaitable[None]]


class Sink(Protocol):
    """Consumer of commits. ``service`` and ``name`` label leases, positions and metrics."""

    @property
    def service(self) -> str:
        """The service that owns the rows."""

    @property
    def name(self) -> str:
        """Name of the read model or process, unique in its schema."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams to follow."""

    def unit(self, record: Recorded) -> str:
        """Return the unit to quarantine if the commit cannot be applied, with its later commits.

        The subject of the aggregate for a read model, the instance for a process manager.
        """

    async def recognise(self, conn: AsyncConnection) -> None:
        """Raise LoopHalted if the sink's tables are not the ones it was written for."""

    async def apply(
        self,
        records: Sequence[Recorded],
        store: Store,
        revise: Revise,
        fenced: Transaction,
    ) -> None:
        """Apply the batch, or do nothing if it has no effect.

        Rows that depend on no other rows go into one ``store()``; a sink that reads rows first calls
        ``revise()`` once, which takes a round trip more. ``fenced`` transactions come before it, for
        rows that are too large to be written with the batch. They commit only while this process
        leads, and move no checkpoint. May be called again for the same batch.
        """

    def duties(
        self, transaction: Transaction, store: Store, retries: Persistence
    ) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what else runs while this process leads.

        ``transaction`` and ``store`` are guarded by the same fence and move no checkpoint.
        Transient failures are noted in ``retries``.
        """
