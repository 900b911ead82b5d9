"""Progress of running tasks, published by workers and kept in memory.

In: TaskProgress. Progress is not recorded: every replica starts from the stream's last value per
task and then listens to the workers, so a status request causes no write anywhere. It listens on
core NATS, which resumes by itself after an outage; a consumer of the stream does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

import nats.errors

from kerma_common.bus.decoding import decode
from kerma_common.bus.faststream import with_subject
from kerma_common.contracts.progress import ALL_PROGRESS, TaskProgress, progress_subject
from kerma_common.eventlog.kept import stored
from kerma_common.poison import Malformed, Source, record_poison, sequence_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client

    from kerma_common.bus.faststream import EdgeBroker

STREAM = "TELEMETRY"
TASKS_KEPT = 100_000
_log = logging.getLogger(__name__)


class TelemetryProgress:
    """The latest progress per task, which never decreases within a lease."""

    def __init__(self) -> None:
        self._changed: Callable[[str], None] = lambda _: None
        self._last: OrderedDict[tuple[str, int], TaskProgress] = OrderedDict()

    def of(self, job_id: str, index: int, lease: int) -> tuple[int, float | None] | None:
        """Return the primaries simulated under this lease and the seconds left, if known."""
        report = self._last.get((job_id, index))
        if report is None or report.lease != lease:
            return None
        return report.primaries, report.eta_seconds

    def add(self, report: TaskProgress) -> None:
        """Store a report; late and out-of-order ones change nothing."""
        key = (report.job_id, report.index)
        known = self._last.get(key)
        if known is not None and (known.lease, known.primaries) > (report.lease, report.primaries):
            return
        self._last[key] = report
        self._last.move_to_end(key)
        if len(self._last) > TASKS_KEPT:
            self._last.popitem(last=False)
        self._changed(report.job_id)

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call a function with the job of every new report."""
        self._changed = changed

    async def run(self, broker: EdgeBroker) -> None:
        """Read the last progress of every task, then follow the workers until cancelled."""

        @broker.subscriber(ALL_PROGRESS, decoder=with_subject, no_reply=True)
        async def hear(body: bytes, subject: str) -> None:
            self._hear(subject, body)

        async with asyncio.TaskGroup() as group:
            group.create_task(broker.serve())
            try:
                await self._remember(broker.client)
            except (nats.errors.Error, OSError) as error:
                # workers repeat their progress within a second
                _log.info("no progress is remembered", extra={"reason": repr(error)})

    async def _remember(self, client: Client) -> None:
        """Store the last message on each task that the stream still holds."""
        async for message in stored(client, STREAM):
            try:
                self._hear(message.subject, message.data)
            except Malformed as error:
                what = (Source.TELEMETRY, message.subject, message.data, str(error))
                await record_poison(client, *what, seq=sequence_of(message))

    def _hear(self, subject: str, body: bytes) -> None:
        report = decode(TaskProgress, body)
        if subject != progress_subject(report.job_id, report.index):
            raise Malformed("progress of another task than the subject's")
        self.add(report)
