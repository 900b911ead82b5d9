"""The loop that moves a position along a log: one leader, one transaction per batch.

Whatever consumes the log with durable effect (read models, process managers) does it through this
loop; a ``Sink`` says what happens to a batch inside the transaction that moves the checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kerma_common.eventlog import guard
from kerma_common.projection import lease as leadership
from kerma_common.projection import metrics, quarantine
from kerma_common.projection.failures import delays, is_passing, pause
from kerma_common.projection.lease import Fenced
from kerma_common.projection.session import Session

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from kerma_common.commands.consistency import Positions
    from kerma_common.contracts.envelope import Recorded
    from kerma_common.eventlog.port import EventLog

T = TypeVar("T")
Transaction = Callable[[], AbstractAsyncContextManager["AsyncConnection"]]
_log = logging.getLogger(__name__)

UNREADY_SECONDS = 30.0
"""Failing for longer than this makes the process unready."""


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

    def duties(self, transaction: Transaction) -> Sequence[Coroutine[Any, Any, None]]:
        """What else runs while this process leads; ``transaction`` is guarded by the same fence
        and moves no checkpoint."""


@dataclass(slots=True)
class LogLoop:
    """Follow the streams of a sink from its checkpoints, for ever.

    ``db`` maps tables without a schema to the one that holds the sink's rows and checkpoints.
    """

    sink: Sink
    log: EventLog
    db: AsyncEngine
    positions: Positions | None = None
    holder: str = field(default_factory=leadership.process_identity)
    max_batch: int = 1000
    _failing: dict[object, float] = field(default_factory=dict, init=False)

    @property
    def ready(self) -> bool:
        """False while the loop has failed for longer than ``UNREADY_SECONDS``."""
        now = time.monotonic()
        return all(now - since < UNREADY_SECONDS for since in self._failing.values())

    async def run(self) -> None:
        """Lead whenever possible. Raises LoopHalted or LogWentBackwards, possibly in a
        group, when going on would project wrongly."""
        while True:
            session = await self.persist(self._lead)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.heartbeat())
                    for stream in self.sink.streams:
                        group.create_task(session.follow(stream))
                    for duty in self.sink.duties(session.fenced):
                        group.create_task(duty)
            except* Fenced:
                _log.warning("%s: leadership lost, loading again", self.sink.name)
            finally:
                # others may lead at once; if this fails they wait for the lease to end
                with suppress(Exception):
                    await leadership.release(self.db, session.lease)

    async def persist(self, action: Callable[[], Awaitable[T]]) -> T:
        """The result of ``action``, tried again for as long as its failures may pass."""
        waits = delays()
        while True:
            try:
                result = await action()
            except Exception as error:
                self.failed(action, error)
                await pause(waits)
            else:
                self.recovered(action)
                return result

    def failed(self, what: object, error: Exception) -> None:
        """Take note of a failure that may pass; raises any other again."""
        if not is_passing(error):
            self.recovered(what)
            raise error
        self._failing.setdefault(what, time.monotonic())
        _log.warning("%s: %s: %s", self.sink.name, type(error).__name__, error)
        metrics.RETRIES.labels(self.sink.service, self.sink.name).inc()

    def recovered(self, what: object) -> None:
        """Take note that what may have failed works."""
        self._failing.pop(what, None)

    async def _lead(self) -> Session:
        sink = self.sink
        epochs = {stream: (await self.log.state(stream)).epoch for stream in sink.streams}
        held = await leadership.acquire(self.db, sink.name, self.holder, epochs)
        async with self.db.connect() as conn:
            await sink.recognise(conn)
            stored = await quarantine.checkpoints(conn, sink.name)
            parked = await quarantine.subjects(conn, sink.name)
        for stream in sink.streams:
            await guard.check(self.log, stream, stored[stream])
        session = Session(self, held, {s: stored[s].seq for s in sink.streams}, parked)
        await session.announce()
        metrics.TAKEOVERS.labels(sink.service, sink.name).inc()
        return session


async def replay_quarantined(sink: Sink, db: AsyncEngine, subject: str) -> int:
    """Apply what was kept aside of an aggregate, after a fix; returns the number of commits.

    All or nothing: if a commit fails again, everything stays as it was. The loop that leads
    drops what it has in hand and follows the aggregate again.
    """
    async with db.begin() as conn:
        await leadership.raise_fence(conn, sink.name)
        records = await quarantine.take(conn, sink.name, subject)
        if records:
            await sink.apply(records, lambda: nullcontext(conn), lambda: nullcontext(conn))
    return len(records)
