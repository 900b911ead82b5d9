"""What the jobs service has published about removed users, read from its log.

In: OwnerJobsDeleted. It is asked for when a name of a removed user is wanted again, so this needs no rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from kerma_common.contracts.events.jobs import OwnerJobsDeleted
from kerma_common.contracts.subjects import owner_subject
from kerma_common.eventlog.port import EventLog


@dataclass(frozen=True, slots=True)
class LoggedJobs:
    """See ``OwnedJobs``."""

    log: EventLog

    async def deleted(self, user_id: str, removal: str) -> bool:
        """See ``OwnedJobs``."""
        subject = owner_subject(user_id)
        for record in await self.log.history(subject.stream, str(subject)):
            for stored in record.commit.events:
                event = stored.decode()
                if isinstance(event, OwnerJobsDeleted) and event.removal == removal:
                    return True
        return False
