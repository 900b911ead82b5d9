"""Tells every replica which jobs scripts on clusters have reported progress on.

Such progress is in the rows already, but moves no projection: without this hint streams of live
updates would not look at the job again. A lost hint does not matter, since the next report comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, StringConstraints

from kerma_common.bus.faststream import EdgeBroker
from kerma_common.bus.signals import send

SIGNAL = "sig.jobs.progressed"
MOST_JOBS = 500
"""Jobs of one hint."""
PAUSE_SECONDS = 0.25
JobId = Annotated[str, StringConstraints(max_length=200)]


@dataclass(frozen=True, slots=True)
class JobsProgressed:
    """Jobs whose tasks on a cluster have progressed."""

    job_ids: Annotated[tuple[JobId, ...], Field(max_length=MOST_JOBS)]


@dataclass(slots=True)
class ClusterProgress:
    """The hints of this process, which it hears as well."""

    _noted: dict[str, None] = field(default_factory=dict, init=False)
    _some: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def note(self, job_id: str) -> None:
        """Tell of a job soon."""
        self._noted[job_id] = None
        self._some.set()

    def listen(self, broker: EdgeBroker, changed: Callable[[str], None]) -> None:
        """Call a function with the jobs of every hint."""

        def hear(hint: JobsProgressed) -> None:
            for job_id in hint.job_ids:
                changed(job_id)

        broker.on_hint(SIGNAL, JobsProgressed, hear)

    async def run(self, broker: EdgeBroker) -> None:
        """Send hints until cancelled."""
        while True:
            await self._some.wait()
            some = tuple(self._noted)[:MOST_JOBS]
            for job_id in some:
                del self._noted[job_id]
            if not self._noted:
                self._some.clear()
            await send(broker, SIGNAL, JobsProgressed(some))
            await asyncio.sleep(PAUSE_SECONDS)
