"""One leadership of a loop: what it loads at its start is dropped at its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from kerma_common.commands.consistency import Watermarks
from kerma_common.db.kept import KeptConnection
from kerma_common.faults import FaultPoint, reached
from kerma_common.projection import lease as leadership
from kerma_common.projection import metrics, quarantine
from kerma_common.projection.ahead import Ahead
from kerma_common.projection.lease import Fenced, Lease
from kerma_common.projection.pace import Pace
from kerma_common.projection.retries.failures import LoopHalted, delays, pause
from kerma_common.projection.rows.tables import schema_of
from kerma_common.projection.rows.write import fold_giving_way, send
from kerma_common.telemetry.traces import span

if TYPE_CHECKING:
    from psycopg import AsyncConnection as Driver
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from kerma_common.commands.consistency import Positions
    from kerma_common.contracts.envelope import Recorded
    from kerma_common.eventlog.port import EventLog
    from kerma_common.projection.retries.persistence import Persistence
    from kerma_common.projection.rows.fold import Phase
    from kerma_common.projection.rows.ops import Op
    from kerma_common.projection.sink import Query, React, Sink

_log = logging.getLogger(__name__)

YIELD_SECONDS = 0.005
"""Pause before a short batch, so that a projection for which a request waits comes first."""
SHORT = 50
"""Most commits of a batch with such pauses."""
BEATS = 5
"""Renewals of the lease per measurement of the lag, which asks the log for its ends."""
BARRIER_SECONDS = 5.0
"""Seconds a commit waits for another stream that makes no progress."""


class Session:
    """Leadership of a sink under one lease; every method raises Fenced once another leads."""

    def __init__(
        self,
        sink: Sink,
        log: EventLog,
        db: AsyncEngine,
        positions: Positions | None,
        retries: Persistence,
        lease: Lease,
        reached: Mapping[str, int],
        parked: set[str],
    ) -> None:
        """Start from checkpoints.

        ``reached`` maps streams to their checkpoints; ``parked`` names the sink's units in
        quarantine.
        """
        self._sink, self._log, self._db, self._positions = sink, log, db, positions
        self._retries = retries
        self._kept = KeptConnection(db)
        self.lease = lease
        self._labels = (sink.service, sink.name)
        self._parked = parked
        self._marks = Watermarks()
        # Streams change the same rows: concurrent transactions would deadlock.
        self._turn = asyncio.Lock()
        self._applied: dict[str, datetime] = {}
        # The stored checkpoints, and what was passed since without any effect to store.
        self._saved = dict(reached)
        self._passed: dict[str, Recorded] = {}
        self._ahead: dict[str, Ahead | None] = {}
        for stream, seq in reached.items():
            self._marks.advance((stream,), seq)

    async def close(self) -> None:
        """Close the session's own connection."""
        await self._kept.close()

    async def announce(self) -> None:
        """Tell waiting requests what the rows already hold."""
        if self._positions is not None:
            for stream in self._sink.streams:
                await self._positions.advance(self._sink.name, stream, self._marks[stream,])

    async def follow(self, stream: str, max_batch: int) -> None:
        """Apply a stream from its checkpoint until cancelled.

        A request of this process that waits for the projection ends its pauses.
        """
        waits, pace = delays(), Pace()
        while True:
            try:
                after = self._marks[stream,]
                async with (
                    self._log.follow(stream, after, max_batch=max_batch) as batches,
                    Ahead(batches) as ahead,
                ):
                    while True:
                        asked = time.monotonic()
                        batch = await ahead.next()
                        began = time.monotonic()
                        pace.came(began - asked, len(batch), began)
                        self._retries.recovered(stream)
                        waits = delays()
                        # A short batch ends what was stored: reading on would split what follows.
                        self._ahead[stream] = ahead if len(batch) > SHORT else None
                        if len(batch) > SHORT:
                            await self._apply_held(stream, batch)
                            continue
                        await self._rest(stream, YIELD_SECONDS)
                        began = time.monotonic()
                        await self._apply_held(stream, batch)
                        await self._rest(stream, pace.rest(time.monotonic() - began))
            except Exception as error:
                self._retries.failed(stream, error)
                await pause(waits)

    async def _rest(self, stream: str, seconds: float) -> None:
        if self._positions is None:
            await asyncio.sleep(seconds)
        else:
            await self._positions.rest(self._sink.name, stream, seconds)

    async def _apply_held(self, stream: str, batch: Sequence[Recorded]) -> None:
        start = 0
        for index, record in enumerate(batch):
            if self._missing(record):
                await self._apply(stream, batch[start:index])
                start = index
                await self._hold(record)
        await self._apply(stream, batch[start:])

    def _missing(self, record: Recorded) -> dict[str, int]:
        """Return the unreached positions of other followed streams that the commit builds on."""
        return {
            stream: seq
            for stream, seq in record.commit.meta.after.items()
            if stream in self._sink.streams
            and stream != record.stream
            and self._marks[stream,] < seq
        }

    async def _hold(self, record: Recorded) -> None:
        for stream, seq in self._missing(record).items():
            seen = -1
            while not await self._marks.wait((stream,), seq, BARRIER_SECONDS):
                if self._marks[stream,] == seen:
                    _log.error("%s: %s did not reach %d", self._sink.name, stream, seq)
                    metrics.BARRIER_TIMEOUTS.labels(*self._labels).inc()
                    break
                seen = self._marks[stream,]

    async def _apply(self, stream: str, batch: Sequence[Recorded]) -> None:
        """Apply a batch; find a commit that cannot be applied by halving, and quarantine it."""
        if not batch:
            return
        error = await self._try(stream, batch)
        if error is None:
            return
        if len(batch) == 1:
            await self._quarantine(stream, batch[0], error)
            return
        middle = len(batch) // 2
        await self._apply(stream, batch[:middle])
        await self._apply(stream, batch[middle:])

    async def _try(self, stream: str, batch: Sequence[Recorded]) -> Exception | None:
        try:
            await self._retries.persist(partial(self._commit, stream, batch))
        except (Fenced, LoopHalted):
            raise
        except Exception as error:
            return error
        return None

    async def _quarantine(self, stream: str, record: Recorded, error: Exception) -> None:
        unit = self._sink.unit(record)
        _log.error("%s: %s quarantined", self._sink.name, unit, exc_info=error)
        self._parked.add(unit)
        await self._retries.persist(partial(self._commit, stream, [record], error))
        metrics.QUARANTINED.labels(*self._labels).set(len(self._parked))
        async with self._db.connect() as conn:
            failing = await quarantine.recent(conn, self._sink.name)
        if failing > quarantine.LIMIT:
            raise LoopHalted(f"{self._sink.name}: {failing} aggregates failed, last: {error}")

    def _is_parked(self, record: Recorded) -> bool:
        return bool(self._parked) and self._sink.unit(record) in self._parked

    async def _commit(
        self, stream: str, batch: Sequence[Recorded], error: Exception | None = None
    ) -> None:
        name = self._sink.name
        # A foreign message has no effect and no unit; the checkpoint passes it.
        commits = [record for record in batch if record.foreign is None]
        live = [record for record in commits if not self._is_parked(record)]
        aside = [
            quarantine.keep(name, record, error) for record in commits if self._is_parked(record)
        ]
        last = batch[-1]
        store = partial(self._store, last, aside)
        revise = partial(self._revise, last, aside)
        if live:
            traces = {record.traceparent for record in live if record.traceparent}
            with span(f"{self._sink.service}.{name}", links=sorted(traces)):
                await self._sink.apply(live, store, revise, self.fenced)
        if aside and self._saved[stream] != last.seq:
            await store(())
        if self._saved[stream] != last.seq:
            # Most commits mean nothing to most sinks; reading some again after a restart is cheaper
            # than a transaction for each.
            self._passed[stream] = last
        reached(FaultPoint.AFTER_COMMIT_BEFORE_PUBLISH)
        self._marks.advance((stream,), last.seq)
        if commits:
            self._applied[stream] = commits[-1].commit.events[-1].time
        metrics.BATCH_SIZE.labels(*self._labels).observe(len(batch))
        if self._positions is not None:
            await self._positions.advance(name, stream, last.seq)

    async def _store(self, last: Recorded, aside: Sequence[Op], operations: Sequence[Op]) -> None:
        """Write rows and the checkpoint in one transaction of two round trips.

        BEGIN, the rows and the checkpoint are one pipeline; COMMIT follows if the checkpoint was
        still ours. Outside autocommit mode psycopg would wait for its own BEGIN.
        """
        phases = await fold_giving_way([*operations, *aside])
        if ahead := self._ahead.get(last.stream):
            # The next batch is decoded while the server writes this one.
            ahead.begin()
        async with self._turn:
            async with self._kept.lend() as driver:
                await self._finish(driver, phases, last, b"BEGIN")
            self._advanced(last)

    async def _finish(
        self, driver: Driver[Any], phases: Sequence[Phase], last: Recorded, *before: bytes
    ) -> None:
        """Write rows and the checkpoint in one pipeline; commit if the checkpoint was still ours."""
        schema = schema_of(self._db)
        async with driver.pipeline():
            for statement in before:
                await driver.execute(statement)
            await send(driver, schema, phases)
            moved = await leadership.send_advance(
                driver, schema, self.lease, self._saved[last.stream], last
            )
        leadership.check_advanced(moved, self.lease)
        reached(FaultPoint.AFTER_PROJECT_BEFORE_COMMIT)
        await driver.commit()

    def _advanced(self, last: Recorded) -> None:
        self._saved[last.stream] = last.seq
        self._passed.pop(last.stream, None)

    async def _revise(
        self, last: Recorded, aside: Sequence[Op], query: Query, react: React
    ) -> None:
        """Read rows, then write what follows from them and the checkpoint: three round trips."""
        schema = schema_of(self._db)
        async with self._turn:
            async with self._kept.lend() as driver:
                async with driver.pipeline():
                    await driver.execute(b"BEGIN")
                    found = await driver.execute(*query(schema))
                operations = react(await found.fetchall())
                phases = await fold_giving_way([*operations, *aside])
                await self._finish(driver, phases, last)
            self._advanced(last)

    @asynccontextmanager
    async def fenced(self) -> AsyncGenerator[AsyncConnection, None]:
        """Open a transaction that commits only while this session leads; it moves no checkpoint."""
        async with self._turn, self._db.begin() as conn:
            await leadership.lock(conn, self.lease)
            yield conn

    async def store_fenced(self, operations: Sequence[Op]) -> None:
        """Write rows in such a transaction, of two round trips."""
        phases = await fold_giving_way(operations)
        schema = schema_of(self._db)
        async with self._turn, self._kept.lend() as driver:
            async with driver.pipeline():
                await driver.execute(b"BEGIN")
                locked = await leadership.send_lock(driver, schema, self.lease)
                await send(driver, schema, phases)
            await leadership.check_locked(locked, self.lease)
            await driver.commit()

    async def heartbeat(self) -> None:
        """Renew the lease, measure the lag, and halt if the log is shorter than the checkpoint."""
        measured = -1.0
        while True:
            # In the same beats as all loops of the process, and at their beginning, when all ask the
            # log together. While the log does not answer, the lease ends: another process may do better.
            if (period := time.monotonic() // (BEATS * leadership.RENEWAL)) != measured:
                await self._retries.persist(self._measure)
                measured = period
            await self._retries.persist(self._beat)
            await asyncio.sleep(leadership.until_renewal())

    async def _save_passed(self) -> None:
        for stream in self._sink.streams:
            async with self._turn:
                if (last := self._passed.get(stream)) is None:
                    continue
                async with self._db.begin() as conn:
                    await leadership.advance(conn, self.lease, self._saved[stream], last)
                self._saved[stream] = last.seq
                # A commit may have been passed meanwhile: it stays for the next time.
                if self._passed.get(stream) is last:
                    del self._passed[stream]

    async def _beat(self) -> None:
        await leadership.renew(self._db, self.lease)
        await self._save_passed()
        async with self._turn:
            await self._kept.close_idle()
        metrics.QUARANTINED.labels(*self._labels).set(len(self._parked))

    async def _measure(self) -> None:
        for stream in self._sink.streams:
            reached = self._marks[stream,]
            last = (await self._log.state(stream)).last
            if last < reached:
                raise LoopHalted(
                    f"{self._sink.name}: {stream} ends at {last}, but {reached} was projected;"
                    " restore the log or rebuild the read models"
                )
            self._retries.progress.measured(stream, reached, last)
            labels = (*self._labels, stream)
            metrics.LAG_EVENTS.labels(*labels).set(last - reached)
            applied = self._applied.get(stream)
            behind = last > reached and applied is not None
            age = (datetime.now(UTC) - applied).total_seconds() if applied and behind else 0.0
            metrics.LAG_SECONDS.labels(*labels).set(age)
