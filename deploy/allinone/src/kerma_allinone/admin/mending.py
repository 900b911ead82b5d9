"""Mend read models and process managers: lag, quarantine, parked commands.

Every change is recorded in the audit stream first, with its reason.
"""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from kerma_common.admin import audit
from kerma_common.admin.audit import Entry
from kerma_common.errors import InvalidRequest, NotFound
from kerma_common.process import mending as parking
from kerma_common.projection import mending
from kerma_common.projection.rows.tables import CHECKPOINT
from kerma_common.projection.runner import ProjectionSink

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kerma_allinone.assembly import Part
    from kerma_common.infra import Infra
    from kerma_common.process.mending import Parked
    from kerma_common.projection.mending import QuarantinedUnit
    from kerma_common.projection.sink import Sink

READ_MODEL, PROCESS = "read model", "process"


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a read model or process is behind a stream.

    ``quarantined`` counts the units that failed first at a commit of this stream.
    """

    service: str
    kind: str
    name: str
    stream: str
    behind: int
    quarantined: int
    parked: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A unit in quarantine, of a read model or of a process."""

    service: str
    kind: str
    entry: QuarantinedUnit


@dataclass(frozen=True, slots=True)
class Mender:
    """Mends one service on its ports."""

    part: Part
    infra: Infra

    async def lags(self) -> list[Lag]:
        """Return the lag of every read model and process, by stream."""
        parked = [entry.process for entry in await self.parked()]
        found = []
        for kind, sink, db in self._sinks():
            quarantined = Counter(unit.stream for unit in await mending.quarantined_units(sink, db))
            of_name = CHECKPOINT.c.name == sink.name
            query = select(CHECKPOINT.c.stream, CHECKPOINT.c.seq).where(of_name)
            async with db.connect() as conn:
                rows = (await conn.execute(query.order_by(CHECKPOINT.c.stream))).all()
            waiting = parked.count(sink.name) if kind == PROCESS else 0
            for stream, seq in rows:
                behind = (await self.infra.log.state(stream)).last - seq
                place = (self.infra.service, kind, sink.name, stream)
                found.append(Lag(*place, behind, quarantined[stream], waiting))
        return found

    async def quarantined(self) -> list[Quarantined]:
        """Return every unit in quarantine."""
        return [
            Quarantined(self.infra.service, kind, entry)
            for kind, sink, db in self._sinks()
            for entry in await mending.quarantined_units(sink, db)
        ]

    async def replay(self, name: str, unit: str, reason: str) -> int:
        """Apply the commits of a unit after a fix; return how many. Raises NotFound if there are
        none.
        """
        sink, db = await self._sink_of(name, unit)
        await self._enter("replay", name, unit, reason)
        return await mending.replay(sink, db, unit)

    async def skip(self, name: str, unit: str, reason: str) -> tuple[int, int]:
        """Give up the failed commits of a unit and apply the others; return how many of each."""
        _require(reason)
        sink, db = await self._sink_of(name, unit)
        failed = [
            entry for entry in await mending.quarantined_units(sink, db) if entry.unit == unit
        ]
        await self._enter("skip", name, unit, reason, [asdict(entry) for entry in failed])
        given_up, applied = await mending.skip(sink, db, unit)
        return len(given_up), applied

    async def parked(self) -> list[Parked]:
        """Return every parked command and timer."""
        if not self.part.processes:
            return []
        return await parking.list_parked(self._process_db())

    async def retry(self, parked_id: str, reason: str) -> None:
        """Let the leader execute a parked command, or fire a parked timer, again."""
        parked = await self._parked(parked_id)
        await self._enter("retry", parked.process, parked.id, reason)
        await parking.retry(self._process_db(), parked)

    async def drop(self, parked_id: str, reason: str) -> None:
        """Drop a parked command or timer: it never runs."""
        _require(reason)
        parked = await self._parked(parked_id)
        await self._enter("drop", parked.process, parked.id, reason, asdict(parked))
        await parking.drop(self._process_db(), parked)

    def _sinks(self) -> Sequence[tuple[str, Sink, AsyncEngine]]:
        infra, processes = self.infra, self._process_db()
        models = [
            (READ_MODEL, ProjectionSink(model), infra.db) for model in self.part.projections(infra)
        ]
        managers = [
            (PROCESS, parking.mending_sink(manager, infra.clock), processes)
            for manager in self.part.processes
        ]
        return [*models, *managers]

    def _process_db(self) -> AsyncEngine:
        return parking.process_db(self.infra.db, self.infra.service)

    async def _sink_of(self, name: str, unit: str) -> tuple[Sink, AsyncEngine]:
        for _, sink, db in self._sinks():
            if sink.name == name:
                if all(entry.unit != unit for entry in await mending.quarantined_units(sink, db)):
                    raise NotFound(f"{name} has nothing of {unit} in quarantine")
                return sink, db
        raise InvalidRequest(f"{self.infra.service} has no read model or process {name}")

    async def _parked(self, parked_id: str) -> Parked:
        for parked in await self.parked():
            if parked.id == parked_id:
                return parked
        raise NotFound(f"{parked_id} is not parked in {self.infra.service}")

    async def _enter(
        self, action: str, part: str, target: str, reason: str, content: Any = None
    ) -> None:
        infra = self.infra
        entry = Entry(
            infra.clock(), getpass.getuser(), action, infra.service, part, target, reason, content
        )
        await audit.record(infra.nats, entry)


def _require(reason: str) -> None:
    if not reason.strip():
        raise InvalidRequest("what is given up needs a reason")
