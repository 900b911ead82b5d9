"""What has happened to an overdue job that the process manager may not have read yet.

Progress is no event, and results are of another stream than the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kerma_common.contracts.events.results import ResultsReceived
from kerma_common.contracts.subjects import result_set_subject

if TYPE_CHECKING:
    from kerma_common.eventlog.port import EventLog
    from kerma_jobs.domain.commands import EndOverdueJob


class HearsOfProgress(Protocol):
    """Knows when clusters reported progress."""

    async def heard_since(self, end: EndOverdueJob) -> bool:
        """Return whether progress was reported since the job is said to be silent."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A last look before an overdue job ends."""

    log: EventLog
    progress: HearsOfProgress

    async def is_alive(self, end: EndOverdueJob) -> bool:
        """Return whether the job has made progress, or has its results."""
        if await self.progress.heard_since(end):
            return True
        return any(
            event.type == ResultsReceived.__name__
            for record in await self.log.load(result_set_subject(end.job_id))
            for event in record.commit.events
        )
