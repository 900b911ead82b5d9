"""Read models on the log loop."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kerma_common.precedence import STEP, give_way
from kerma_common.projection.decoding import decoded
from kerma_common.projection.loop import LogLoop
from kerma_common.projection.rows.schema import recognise

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from kerma_common.commands.consistency import Positions
    from kerma_common.contracts.envelope import Recorded
    from kerma_common.eventlog.port import EventLog
    from kerma_common.projection.retries.persistence import Persistence
    from kerma_common.projection.router import Projection
    from kerma_common.projection.rows.ops import Op
    from kerma_common.projection.sink import Revise, Store, Transaction


def projection_loop(
    projection: Projection,
    log: EventLog,
    db: AsyncEngine,
    positions: Positions | None = None,
    **options: Any,
) -> LogLoop:
    """Return the loop of a read model; its ``run`` belongs in the service's task group."""
    return LogLoop(ProjectionSink(projection), log, db, positions, **options)


@dataclass(slots=True)
class ProjectionSink:
    """Sink that turns commits into rows."""

    projection: Projection
    service: str = field(init=False)
    name: str = field(init=False)
    streams: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.service = self.projection.service
        self.name = self.projection.name
        self.streams = self.projection.streams

    def unit(self, record: Recorded) -> str:
        """Return the aggregate: rows of others do not depend on its commits."""
        return record.subject

    async def recognise(self, conn: AsyncConnection) -> None:
        """Raise LoopHalted if another release made the tables."""
        await recognise(conn, self.projection)

    async def apply(
        self,
        records: Sequence[Recorded],
        store: Store,
        revise: Revise,  # noqa: ARG002 - part of the protocol
        fenced: Transaction,
    ) -> None:
        """Project the batch and write its rows."""
        if operations := await project(self.projection, records, fenced):
            await store(operations)

    def duties(
        self,
        transaction: Transaction,  # noqa: ARG002 - part of the protocol
        store: Store,  # noqa: ARG002 - part of the protocol
        retries: Persistence,  # noqa: ARG002 - part of the protocol
    ) -> Sequence[Coroutine[Any, Any, None]]:
        """Return no duties."""
        return ()


async def project(
    projection: Projection, records: Sequence[Recorded], fenced: Transaction
) -> list[Op]:
    """Return the row operations of commits, in order; runs ``prepare`` for their events."""
    events = await decoded(records, projection.service, projection.name, projection.wanted)
    ready: Sequence[object] = [event for event, _ in events]
    if projection.prepare is not None and events:
        ready = await projection.prepare(ready, fenced)
    operations: list[Op] = []
    for number, (event, (_, at)) in enumerate(zip(ready, events, strict=True), start=1):
        operations += projection.project(event, at)
        if number % STEP == 0:
            await give_way()
    return operations
