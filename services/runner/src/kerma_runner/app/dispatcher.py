"""The dispatcher: keeps a short queue of fairly chosen tickets in front of the workers.

The stream of tickets is first in, first out, so it cannot be fair over users. It therefore holds no
more than about two tickets per free slot and engine, except while workers use them up faster than
rounds come: then it holds as many more as they used within ``RECENT``, up to ``DEEP`` per slot, since
a round sees what workers did only after the projection of the queue has rested. Tickets are hints: the
dispatcher remembers those it issued only while it leads, purges the stream when it takes over, and
reissues a ticket that stays unused for a while.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from kerma_common.contracts.rpc_runner import Lane, Ticket
from kerma_runner.domain.fairness import Deficits, pick
from kerma_runner.read.open_tasks import LaneDemand, Waiting

if TYPE_CHECKING:
    from kerma_common.infra import Clock
    from kerma_runner.app.claims import Terms
    from kerma_runner.app.ports import Tickets
    from kerma_runner.read.open_tasks import OpenTasks

REISSUE = timedelta(seconds=60)
DEEP = 8
RECENT = timedelta(seconds=0.5)
SOON = timedelta(seconds=1)
"""Tickets used since the last round show a pace only if that round was within this time."""

DEMAND = Gauge(
    "runner_demand", "Tasks that wait or are held, as far as counted", ["resource_class", "engine"]
)
SLOTS = Gauge("runner_slots", "Slots of workers that live", ["resource_class", "engine"])
ISSUED = Counter("runner_tickets_total", "Tickets issued", ["resource_class", "engine"])

_Key = tuple[str, int]


@dataclass(slots=True)
class _Out:
    task: Waiting
    at: datetime


@dataclass(slots=True)
class _Tickets:
    deficits: Deficits = field(default_factory=Deficits)
    out: dict[_Key, _Out] = field(default_factory=dict)
    at: datetime | None = None
    uses: deque[tuple[datetime, int]] = field(default_factory=deque)

    def note_used(self, used: int, now: datetime) -> int:
        """Note how many tickets were used since the last round; return how many were recently."""
        if self.at is not None and now - self.at < SOON:
            self.uses.append((now, used))
        self.at = now
        while self.uses and now - self.uses[0][0] >= RECENT:
            self.uses.popleft()
        return sum(used for _, used in self.uses)


@dataclass(slots=True)
class Dispatcher:
    """Issues tickets in rounds. ``weights`` maps users to tasks per round, 1 when absent."""

    rows: OpenTasks
    tickets: Tickets
    clock: Clock
    terms: Terms
    weights: Mapping[str, int] = field(default_factory=dict)
    _lanes: dict[Lane, _Tickets] = field(default_factory=dict)

    async def round(self) -> datetime | None:
        """Issue the tickets there is room for; return when to run again if nothing changes."""
        now = self.clock()
        found = {d.lane: d for d in await self.rows.demand(now, self.terms.lease)}
        for lane in found.keys() | self._lanes.keys():
            demand = found.get(lane) or LaneDemand(lane, 0, 0, 0)
            labels = (lane.resource_class, lane.engine)
            DEMAND.labels(*labels).set(demand.queued + demand.held)
            SLOTS.labels(*labels).set(demand.slots)
            await self._fill(demand, now)
        moments = [out.at + REISSUE for t in self._lanes.values() for out in t.out.values()]
        if any(demand.slots for demand in found.values()):
            # by then their workers may have fallen silent
            moments.append(now + self.terms.lease)
        due = await self.rows.next_due(now)
        return min([*moments, due] if due is not None else moments, default=None)

    async def _fill(self, demand: LaneDemand, now: datetime) -> None:
        lane = demand.lane
        known = self._lanes.get(lane)
        if known is None:
            await self.tickets.open(lane)
            await self.tickets.clear(lane)
            # only now: a round that fails above is repeated from here
            known = self._lanes[lane] = _Tickets()
        still = await self.rows.still([ticket.task for ticket in known.out.values()])
        used = known.note_used(len(known.out) - len(still), now)
        known.out = {key: out for key, out in known.out.items() if out.task in still}
        await self._repeat(lane, known, now)
        spare = max(demand.slots - demand.held, min(used, DEEP * demand.slots))
        wanted = demand.slots + max(0, spare)
        room = wanted - len(known.out)
        if room <= 0:
            return
        fresh = await self.rows.waiting(lane, now, room, known.out)
        picks, known.deficits = pick(fresh, known.deficits, room, self.weights)
        issued = [self._issue(lane, known, task, now) for task in picks]
        for failure in await asyncio.gather(*issued, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _repeat(self, lane: Lane, known: _Tickets, now: datetime) -> None:
        overdue = [out for out in known.out.values() if now - out.at >= REISSUE]
        if not overdue:
            return
        lost = await self.tickets.pending(lane) < len(known.out)
        for out in overdue:
            if lost:
                await self._issue(lane, known, out.task, now)
            else:
                out.at = now

    async def _issue(self, lane: Lane, known: _Tickets, task: Waiting, now: datetime) -> None:
        issue = int(now.timestamp() * 1000)
        ticket = Ticket(task.job_id, task.index, task.attempt, issue)
        await self.tickets.issue(lane, ticket, task.trace)
        known.out[task.job_id, task.index] = _Out(task, now)
        ISSUED.labels(lane.resource_class, lane.engine).inc()
