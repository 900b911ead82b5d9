"""The loop that moves a position along a log: one leader, one transaction per batch.

Every durable consumer of the log (read models, process managers) uses this loop; a ``Sink`` decides
what happens to a batch inside the transaction that moves the checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_common.eventlog import guard
from kerma_common.projection import lease as leadership
from kerma_common.projection import metrics, quarantine
from kerma_common.projection.lease import Fenced
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.projection.session import Session

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kerma_common.commands.consistency import Positions
    from kerma_common.eventlog.port import EventLog
    from kerma_common.projection.sink import Sink

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class LogLoop:
    """Loop that follows the streams of a sink from its checkpoints.

    ``db`` maps tables without a schema to the one that holds the sink's rows and checkpoints.
    """

    sink: Sink
    log: EventLog
    db: AsyncEngine
    positions: Positions | None = None
    holder: str = field(default_factory=leadership.process_identity)
    max_batch: int = 1000
    retries: Persistence = field(init=False)

    def __post_init__(self) -> None:
        self.retries = Persistence(self.sink.service, self.sink.name)

    @property
    def ready(self) -> bool:
        """False once the loop has been failing for long."""
        return self.retries.ready

    async def run(self) -> None:
        """Lead whenever possible, until cancelled.

        Raises LoopHalted or LogWentBackwards, possibly in a group, if going on would project
        wrongly.
        """
        while True:
            session = await self.retries.persist(self._lead)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.heartbeat())
                    for stream in self.sink.streams:
                        group.create_task(session.follow(stream, self.max_batch))
                    for duty in self.sink.duties(
                        session.fenced, session.store_fenced, self.retries
                    ):
                        group.create_task(duty)
            except* Fenced:
                _log.warning("%s: leadership lost, loading again", self.sink.name)
            finally:
                self.retries.forget()
                await session.close()
                # Others may lead at once; if this fails, they wait for the lease to end.
                with suppress(Exception):
                    await leadership.release(self.db, session.lease)

    async def _lead(self) -> Session:
        sink = self.sink
        epochs = {stream: (await self.log.state(stream)).epoch for stream in sink.streams}
        held = await leadership.acquire(self.db, sink.name, self.holder, epochs)
        async with self.db.connect() as conn:
            await sink.recognise(conn)
            stored = await quarantine.checkpoints(conn, sink.name)
            parked = {sink.unit(k.record) for k in await quarantine.kept(conn, sink.name)}
        for stream in sink.streams:
            await guard.check(self.log, stream, stored[stream])
        reached = {stream: stored[stream].seq for stream in sink.streams}
        session = Session(
            sink, self.log, self.db, self.positions, self.retries, held, reached, parked
        )
        await session.announce()
        metrics.TAKEOVERS.labels(sink.service, sink.name).inc()
        return session
