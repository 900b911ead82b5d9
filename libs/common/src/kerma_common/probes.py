"""Probes: small periodic writes that show whether a service's dependencies accept writes.

An open connection and a database that answers prove little: after a full disk, both may refuse
every write until they are restarted.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import Gauge
from sqlalchemy import func, select

from kerma_common.clock import until_next
from kerma_common.db.engine import in_turn
from kerma_common.errors import Unavailable
from kerma_common.eventlog.streams import PROBES

if TYPE_CHECKING:
    from kerma_common.infra import Infra

PERIOD_SECONDS = 15.0
RETRY_SECONDS = 2.0
"""Seconds between probes while one fails."""
PATIENCE_SECONDS = 5.0
PAYLOAD_BYTES = 4096
"""Larger than the rest of a block that a full disk may still have."""
OK = Gauge("kerma_probe_ok", "Whether the last probe succeeded", ["service", "probe"])
_log = logging.getLogger(__name__)
Probe = Callable[[], Awaitable[object]]


def standard_probes(infra: Infra) -> Mapping[str, Probe]:
    """Return the standard probes: an append, a blob and a transaction."""

    async def append() -> None:
        await infra.nats.jetstream().publish(
            f"probe.{infra.service}", os.urandom(PAYLOAD_BYTES), stream=PROBES
        )

    async def transaction() -> None:
        # A record of the write-ahead log needs no table, and its commit waits for the disk. A single
        # statement commits itself.
        message = func.pg_logical_emit_message(True, "kerma", "probe")
        async with in_turn(infra.db) as conn:
            await conn.execute(select(message))

    async def blob() -> None:
        await infra.blobs.probe(infra.service)

    return {"append": append, "transaction": transaction, "blob": blob}


@dataclass(slots=True)
class Probes:
    """Periodic runs of ``probes``; ``faults`` holds those that failed last, with the reason."""

    service: str
    probes: Mapping[str, Probe]
    faults: dict[str, str] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Probe periodically; run this as a background task of the service."""
        while True:
            await self.look()
            await asyncio.sleep(until_next(RETRY_SECONDS if self.faults else PERIOD_SECONDS))

    async def look(self) -> None:
        """Run every probe once, concurrently."""
        await asyncio.gather(*(self._try(name, probe) for name, probe in self.probes.items()))

    async def _try(self, name: str, probe: Probe) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await probe()
        except Exception as error:
            why = error.message if isinstance(error, Unavailable) else type(error).__name__
            if self.faults.get(name) != why:
                _log.error("%s: the probe %s fails: %s", self.service, name, error or why)
            self.faults[name] = why
        else:
            if self.faults.pop(name, None) is not None:
                _log.warning("%s: the probe %s succeeds again", self.service, name)
        OK.labels(self.service, name).set(name not in self.faults)
