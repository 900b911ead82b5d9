"""Process managers on the log loop: state, timers and commands move with the checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from kerma_common.contracts.subjects import first_of_id
from kerma_common.process import metrics
from kerma_common.process.outbox import Dispatch, Relay
from kerma_common.process.reactions import Cause, Reactions
from kerma_common.process.tables import TIMER, process_schema
from kerma_common.process.timers import Timers
from kerma_common.projection.decoding import decoded, typed_events
from kerma_common.projection.loop import LogLoop
from kerma_common.projection.retries.failures import is_transient
from kerma_common.projection.rows.ops import Delete, Op, Update
from kerma_common.projection.rows.write import write

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from kerma_common.contracts.envelope import Recorded
    from kerma_common.eventlog.port import EventLog
    from kerma_common.infra import Clock
    from kerma_common.process.manager import ProcessManager
    from kerma_common.projection.retries.persistence import Persistence
    from kerma_common.projection.sink import Revise, Store, Transaction

_log = logging.getLogger(__name__)


def process_loop(
    manager: ProcessManager[Any],
    log: EventLog,
    db: AsyncEngine,
    dispatch: Dispatch,
    clock: Clock,
    **options: Any,
) -> LogLoop:
    """Return the loop of a process manager; its ``run`` belongs in the service's task group.

    ``db`` is the service's engine; the process uses the schema beside that of the read models.
    ``dispatch`` executes a command of the same service, at least once.
    """
    placed = db.execution_options(schema_translate_map={None: process_schema(manager.service)})
    return LogLoop(ProcessSink(manager, dispatch, clock), log, placed, **options)


@dataclass(slots=True)
class ProcessSink:
    """Sink that turns commits into states, timers and commands of a process manager."""

    manager: ProcessManager[Any]
    dispatch: Dispatch
    clock: Clock
    service: str = field(init=False)
    name: str = field(init=False)
    streams: tuple[str, ...] = field(init=False)
    _relay: Relay = field(init=False)
    _timers: Timers = field(init=False)

    def __post_init__(self) -> None:
        self.service = self.manager.service
        self.name = self.manager.name
        self.streams = self.manager.streams
        self._begin()

    def _begin(self) -> None:
        self._relay = Relay(
            self.service, self.name, self.manager.command_types, self.dispatch, self.clock
        )
        self._timers = Timers(self.name, self.clock, self._fire)

    def duties(
        self, transaction: Transaction, store: Store, retries: Persistence
    ) -> Sequence[Coroutine[Any, Any, None]]:
        """Execute commands and fire timers."""
        self._begin()
        return self._relay.run(transaction, store, retries), self._timers.run(transaction, retries)

    def unit(self, record: Recorded) -> str:
        """Return the instance that the commit concerns; the aggregate if it concerns none.

        An event that cannot be decoded counts for the job that its subject names, or for its
        aggregate alone if the process takes the aggregate's events in any order.
        """
        try:
            events = typed_events([record], self.service, self.name)
        except (ValueError, KeyError, TypeError):
            alone = record.commit.aggregate in self.manager.independent
            return record.subject if alone else first_of_id(record.subject)
        keys = (self.manager.key(event) for event, _ in events)
        return next((key for key in keys if key is not None), record.subject)

    async def recognise(self, conn: AsyncConnection) -> None:
        """Accept the tables: migrations have brought them to the form that this release needs."""

    async def apply(
        self,
        records: Sequence[Recorded],
        store: Store,  # noqa: ARG002 - a process reads its states first
        revise: Revise,
        fenced: Transaction,  # noqa: ARG002 - part of the protocol
    ) -> None:
        """Handle the events of a batch in order."""
        places = {(r.stream, r.seq): r for r in records}
        events = [
            (key, event, at)
            for event, at in await decoded(records, self.service, self.name)
            if (key := self.manager.key(event)) is not None
        ]
        if not events:
            return
        reactions = Reactions(self.manager, self._relay, self.clock())
        keys = dict.fromkeys(key for key, _, _ in events)

        def react(rows: Sequence[tuple[Any, ...]]) -> Sequence[Op]:
            reactions.take(keys, rows)
            for key, event, at in events:
                record = places[at.stream, at.seq]
                meta = record.commit.meta
                after = {**meta.after, at.stream: at.seq}
                cause = Cause(at.event_id, meta.correlation, at.event_id, after, record.traceparent)
                reaction = self.manager.handle(reactions.states[key], event, at)
                reactions.add(key, cause, reaction)
            return reactions.operations

        await revise(partial(reactions.query, keys), react)
        self._committed(reactions)

    async def _fire(self, transaction: Transaction) -> None:
        async with transaction() as conn:
            reactions = Reactions(self.manager, self._relay, self.clock())
            # One timer at a time per instance: its handler may replace or remove the others.
            due = await conn.execute(
                select(TIMER)
                .ext(distinct_on(TIMER.c.key))
                .where(TIMER.c.process == self.name, TIMER.c.error.is_(None))
                .where(TIMER.c.due <= reactions.now)
                .order_by(TIMER.c.key, TIMER.c.due)
            )
            rows = due.all()
            for row in rows:
                await self._wake(conn, reactions, row)
            await write(conn, reactions.operations)
        self._committed(reactions)

    async def _wake(self, conn: AsyncConnection, reactions: Reactions, row: Row[Any]) -> None:
        name = {"process": self.name, "key": row.key, "timer": row.timer}
        cause = f"{row.key}\x1f{row.timer}\x1f{row.due.isoformat()}"
        before = len(reactions.operations), len(reactions.owed)
        try:
            await reactions.load(conn, row.key)
            reactions.operations.append(Delete(TIMER, name))
            reaction = self.manager.wake(
                reactions.states[row.key], row.key, row.timer, reactions.now
            )
            reactions.add(row.key, Cause(cause, row.correlation, row.causation, {}), reaction)
        except Exception as error:
            if is_transient(error):
                raise
            _log.exception("%s: timer %s of %s parked", self.name, row.timer, row.key)
            metrics.PARKED.labels(self.service, self.name).inc()
            del reactions.operations[before[0] :], reactions.owed[before[1] :]
            reactions.operations.append(Update(TIMER, name, {"error": repr(error)}))

    def _committed(self, reactions: Reactions) -> None:
        self._relay.submit(reactions.owed)
        if reactions.timers_set:
            self._timers.changed()
