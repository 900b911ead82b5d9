"""What a loop does with commits: the port that read models and process managers fill."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from kerma_common.contracts.envelope import Recorded
    from kerma_common.projection.persistence import Persistence

Transaction = Callable[[], AbstractAsyncContextManager["AsyncConnection"]]


class Sink(Protocol):
    """What is done with commits. ``service`` and ``name`` label leases, positions and metrics."""

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
        """What is put aside when the commit cannot be applied, and every later commit of it.

        The subject of the aggregate for a read model, the instance for a process manager.
        """

    async def recognise(self, conn: AsyncConnection) -> None:
        """Raises LoopHalted when the sink's tables are not the ones it was written for."""

    async def apply(
        self, records: Sequence[Recorded], transaction: Transaction, fenced: Transaction
    ) -> None:
        """Give the batch its effect inside one ``transaction()``, or none when it has no effect.

        ``fenced`` transactions come before it, for rows that are too large to be written with the
        batch. They commit only while this process leads, and move no checkpoint. May be called
        again for the same batch.
        """

    def duties(
        self, transaction: Transaction, retries: Persistence
    ) -> Sequence[Coroutine[Any, Any, None]]:
        """What else runs while this process leads; ``transaction`` is guarded by the same fence
        and moves no checkpoint. Failures that may pass are noted in ``retries``."""
