"""The relay: executes the commands of process managers, at least once, in order per instance."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from kerma_common.commands.context import CommandContext
from kerma_common.contracts import registry
from kerma_common.errors import DomainRejected
from kerma_common.faults import FaultPoint, reached
from kerma_common.process import metrics
from kerma_common.process.tables import OUTBOX
from kerma_common.projection.retries.failures import delays, is_transient, pause
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.projection.rows.ops import Delete, Op, Update, Upsert
from kerma_common.telemetry.traces import span

if TYPE_CHECKING:
    from sqlalchemy import Row

    from kerma_common.infra import Clock
    from kerma_common.projection.sink import Store, Transaction

Dispatch = Callable[[Any, CommandContext], Awaitable[None]]
_log = logging.getLogger(__name__)

CONCURRENT = 64
"""Number of instances whose commands run concurrently."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One command to execute. Its commit ids derive from ``cause`` and ``n``.

    ``trace`` is the trace context of the commit that caused it.
    """

    key: str
    cause: str
    n: int
    command: Any
    correlation: str
    causation: str | None
    after: Mapping[str, int]
    created_at: datetime
    trace: str | None = None

    @property
    def id(self) -> tuple[str, int]:
        """Identifies the command within its process."""
        return self.cause, self.n


class Relay:
    """Executor of the outbox of one process manager while this process leads."""

    def __init__(
        self,
        service: str,
        process: str,
        types: Mapping[str, type],
        dispatch: Dispatch,
        clock: Clock,
    ) -> None:
        self._service = service
        self._process = process
        self._types = types
        self._names = {cls: name for name, cls in types.items()}
        self._dispatch = dispatch
        self._clock = clock
        self._queues: dict[str, deque[Owed]] = {}
        self._waiting: dict[tuple[str, int], datetime] = {}
        self._early: list[Owed] | None = []
        self._settled: list[Op] = []
        self._settling = asyncio.Event()
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._group: asyncio.TaskGroup | None = None
        self._retries = Persistence(service, process)
        metrics.OUTBOX_AGE.labels(service, process).set_function(self._age)

    def row(self, owed: Owed) -> Op:
        """Return the outbox row of a command. Raises KeyError for an undeclared command type."""
        return Upsert(
            OUTBOX,
            self._key(owed),
            {
                "key": owed.key,
                "command": self._names[type(owed.command)],
                "data": registry.to_data(owed.command),
                "correlation": owed.correlation,
                "causation": owed.causation,
                "after": owed.after,
                "trace": owed.trace,
                "created_at": owed.created_at,
            },
        )

    def submit(self, commands: Iterable[Owed]) -> None:
        """Execute commands whose rows are committed, after earlier ones of their instances."""
        if self._early is not None:
            self._early.extend(commands)
            return
        assert self._group is not None
        for owed in commands:
            if owed.id in self._waiting:
                continue
            self._waiting[owed.id] = owed.created_at
            queue = self._queues.get(owed.key)
            if queue is None:
                self._queues[owed.key] = deque([owed])
                self._group.create_task(self._drain(owed.key))
            else:
                queue.append(owed)

    async def run(self, transaction: Transaction, store: Store, retries: Persistence) -> None:
        """Execute what an earlier leader left, then submitted commands, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group, self._retries = group, retries
            left = await self._left(transaction)
            early, self._early = self._early or [], None
            self.submit([*left, *early])
            group.create_task(self._settle(store))

    async def _left(self, transaction: Transaction) -> list[Owed]:
        async with transaction() as conn:
            found = await conn.execute(
                select(OUTBOX).where(OUTBOX.c.process == self._process).order_by(OUTBOX.c.position)
            )
            return [owed for row in found if (owed := self._owed(row)) is not None]

    def _owed(self, row: Row[Any]) -> Owed | None:
        """Return the command of a row; park it and return None if this release cannot decode it."""
        try:
            command = registry.adapter(self._types[row.command]).validate_python(row.data)
        except (KeyError, ValueError) as error:
            self._park({"process": self._process, "cause": row.cause, "n": row.n}, error)
            return None
        return Owed(
            row.key,
            row.cause,
            row.n,
            command,
            row.correlation,
            row.causation,
            row.after,
            row.created_at,
            row.trace,
        )

    def _park(self, key: dict[str, Any], error: Exception) -> None:
        _log.error("%s: command of %s parked", self._process, key["cause"], exc_info=error)
        metrics.PARKED.labels(self._service, self._process).inc()
        self._note(Update(OUTBOX, key, {"error": repr(error)}))

    async def _drain(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            async with self._slots:
                await self._execute(queue[0])
            self._waiting.pop(queue.popleft().id, None)
        del self._queues[key]

    async def _execute(self, owed: Owed) -> None:
        context = CommandContext(
            actor=f"svc:{self._service}",
            cause=(owed.cause, self._process, str(owed.n)),
            correlation=owed.correlation,
            now=self._clock(),
            causation=owed.causation,
            after=owed.after,
        )
        labels = (self._service, self._process)
        waits = delays()
        while True:
            reached(FaultPoint.OUTBOX_BEFORE_DISPATCH)
            try:
                name = type(owed.command).__name__
                with span(name, owed.trace), self._retries.progress.running(name):
                    await self._dispatch(owed.command, context)
            except DomainRejected as verdict:
                _log.info("%s: %s: %s", self._process, owed.command, verdict.message)
                metrics.REJECTED.labels(*labels).inc()
            except Exception as error:
                if is_transient(error):
                    self._retries.failed(owed.id, error)
                    await pause(waits)
                    continue
                self._retries.recovered(owed.id)
                self._park(self._key(owed), error)
                return
            self._retries.recovered(owed.id)
            reached(FaultPoint.OUTBOX_AFTER_DISPATCH)
            self._note(Delete(OUTBOX, self._key(owed)))
            return

    def _note(self, op: Op) -> None:
        self._settled.append(op)
        self._settling.set()

    async def _settle(self, store: Store) -> None:
        """Delete executed commands, in batches when they finish fast."""
        waits = delays()
        while True:
            await self._settling.wait()
            self._settling.clear()
            settled, self._settled = self._settled, []
            try:
                await store(settled)
                waits = delays()
                self._retries.recovered(self)
            except Exception as error:
                self._retries.failed(self, error)
                self._settled = [*settled, *self._settled]
                self._settling.set()
                await pause(waits)

    def _key(self, owed: Owed) -> dict[str, Any]:
        return {"process": self._process, "cause": owed.cause, "n": owed.n}

    def _age(self) -> float:
        oldest = min(self._waiting.values(), default=None)
        return (self._clock() - oldest).total_seconds() if oldest else 0.0
