"""Expiry: takes tasks back from workers that have fallen silent.

Out: TaskLeaseExpired with TaskRequeued, TaskFailed or TaskCanceled; TasksLost; WorkerRetired.

While the runner could not hear (the bus or the database was down, or the process was suspended) a
silent worker proves nothing, so every lease lasts one full length from the moment the runner hears
again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import task_subject, worker_subject
from kerma_common.errors import UnreadableHistory
from kerma_common.projection.retries.failures import is_transient
from kerma_runner.domain.commands import Expire
from kerma_runner.domain.leases import Due, LeaseKey, due, over
from kerma_runner.domain.worker import WORKER, Retire
from kerma_sandbox.sandbox import Level

if TYPE_CHECKING:
    from kerma_common.commands.bus import CommandBus
    from kerma_common.infra import Clock
    from kerma_common.projection.sink import Transaction
    from kerma_runner.app.claims import Terms
    from kerma_runner.app.ports import HeartbeatStore
    from kerma_runner.app.task_loss import Losses
    from kerma_runner.app.task_sets import TaskSets
    from kerma_runner.read.queries import QueueRows

EXPIRED = Counter("runner_lease_expired_total", "Leases whose worker fell silent")
GIVEN_UP = Counter("runner_unendable_total", "Leases and workers that could not be ended")
WORKERS = Gauge("runner_workers", "Workers that live, by what confines their engines", ["sandbox"])

_log = logging.getLogger(__name__)
_STILL = timedelta(seconds=5)
"""Waking up this much too late means that the process was suspended."""


@dataclass(slots=True)
class Expiry:
    """Ends leases and retires workers.

    ``outages`` counts interruptions of the bus; None during one. ``fenced`` opens transactions that
    commit only while this process leads the queue.
    """

    heard: HeartbeatStore
    rows: QueueRows
    bus: CommandBus
    sets: TaskSets
    losses: Losses
    clock: Clock
    terms: Terms
    outages: Callable[[], int | None]
    fenced: Transaction
    _floor: datetime | None = None
    _outages: int | None = None
    _asked: datetime | None = None
    _hearing: bool = field(default=False)
    _given_up: set[LeaseKey | str] = field(default_factory=set)

    async def round(self) -> datetime | None:
        """End the leases that are over; return when the next one, or a worker, may be due."""
        now = self.clock()
        if self._was_deaf(now):
            self._floor = now + self.terms.lease
        self._hearing = False
        leases = due(
            await self.rows.held(), await self.rows.heard(self.terms.lease), self._floor or now
        )
        ended = over(leases, now)
        for lease in ended:
            await self._alone(lease.key, partial(self._expire, lease, now))
        moments = [lease.until for lease in leases[len(ended) : len(ended) + 1]]
        moments += await self._retire_silent(now)
        self._hearing = True
        self._asked = min(moments, default=None)
        return self._asked

    async def _retire_silent(self, now: datetime) -> list[datetime]:
        """Retire workers that have fallen silent; return when the next one may be due.

        Jobs are placed by registrations. A retired worker that speaks again learns that it is
        unknown, and registers again.
        """
        floor = self._floor or now
        later = []
        confined = dict.fromkeys(map(str, Level), 0)
        for known in await self.rows.last_heard():
            until = floor if known.seen is None else max(floor, known.seen + self.terms.lease)
            if until > now:
                later.append(until)
                level = known.sandbox or str(Level.NONE)
                confined[level] = confined.get(level, 0) + 1
            else:
                await self._alone(
                    known.worker, partial(self._retire, known.worker, known.seen, now)
                )
        for level, number in confined.items():
            WORKERS.labels(level).set(number)
        return later

    def _was_deaf(self, now: datetime) -> bool:
        before, self._outages = self._outages, self.outages()
        late = self._asked is not None and now - self._asked > _STILL
        return not self._hearing or late or self._outages is None or self._outages != before

    async def _alone(self, what: LeaseKey | str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step that must not keep the others from being taken.

        One that can't succeed, such as for a worker whose history is unreadable, is not repeated by
        this leader. Raises transient errors.
        """
        if what in self._given_up:
            return
        try:
            await step()
        except Exception as error:
            if is_transient(error):
                raise
            self._given_up.add(what)
            GIVEN_UP.inc()
            _log.exception("cannot be ended: %s", what)

    async def _expire(self, lease: Due, now: datetime) -> None:
        key = lease.key
        ctx = CommandContext(
            actor="runner",
            cause=("expire", key.job_id, str(key.index), str(key.lease)),
            correlation=key.job_id,
            now=now,
        )
        command = Expire(key.lease, lease.until, now)
        try:
            task = await self.sets.task(key.job_id, key.index)
            done = await self.bus.execute(task, task_subject(key.job_id, key.index), command, ctx)
        except UnreadableHistory as error:
            await self.losses.lose(key.job_id, (key.index,), error, ctx.step("lose"))
            return
        if done.changed:
            EXPIRED.inc()

    async def _retire(self, worker: str, seen: datetime | None, now: datetime) -> None:
        ctx = CommandContext(
            actor="runner", cause=("silent", worker, str(seen)), correlation=worker, now=now
        )
        await self.bus.execute(WORKER, worker_subject(worker), Retire(worker, "LOST"), ctx)
        async with self.fenced() as conn:
            await self.heard.forget_silent(conn, worker, seen)
