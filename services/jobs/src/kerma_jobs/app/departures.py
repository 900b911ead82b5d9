"""Departures: deletes the jobs of users who were removed.

In: UserRemovalStarted (auth). Out: JobCancellationRequested, JobCanceled, JobDeletionRequested, JobDeleted
of each job, OwnerJobsDeleted.

A submission that was on its way when its user was removed may come later: the jobs are deleted at once,
again after a while, and for the last time when no such submission can be left. Only then the user owns
nothing, and somebody else may have the name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events import auth
from kerma_common.contracts.subjects import STREAMS, owner_subject
from kerma_common.errors import DomainRejected, NotFound, Unavailable
from kerma_common.eventlog.port import EventLog
from kerma_common.process.manager import Reaction, Timer
from kerma_common.projection.router import At
from kerma_jobs.app.control import JobControl
from kerma_jobs.domain.owner import OWNER, ConcludeRemoval

AGAIN = timedelta(minutes=1)
LAST = timedelta(hours=1)
"""Longer than a submission that was accepted before the removal can take."""
ACTOR = "svc:jobs"
LATE, LEFT = "late", "left"


@dataclass(frozen=True, slots=True)
class Leaving:
    """A user who is being removed."""

    removal: str


@dataclass(frozen=True, slots=True)
class DeleteJobs:
    """Cancel and delete all jobs of a removed user that there are now."""

    user_id: str
    removal: str


@dataclass(frozen=True, slots=True)
class Departures:
    """The process manager of removed users."""

    last: timedelta = field(default=LAST)
    service: ClassVar[str] = "jobs"
    name: ClassVar[str] = "departures"
    streams: ClassVar[tuple[str, ...]] = ("AUTH",)
    independent: ClassVar[frozenset[str]] = frozenset()
    state_type: ClassVar[type[Leaving]] = Leaving
    command_types: ClassVar[Mapping[str, type]] = {
        "DeleteJobs": DeleteJobs,
        "ConcludeRemoval": ConcludeRemoval,
    }

    def key(self, event: Any) -> str | None:
        """Return the user that an event belongs to."""
        return event.user_id if isinstance(event, auth.UserRemovalStarted) else None

    def handle(
        self,
        state: Leaving | None,  # noqa: ARG002 - part of the protocol; a later removal takes the place
        event: Any,
        at: At,
    ) -> Reaction[Leaving]:
        """Delete what there is, and look again."""
        assert isinstance(event, auth.UserRemovalStarted)
        delete = DeleteJobs(event.user_id, event.removal)
        timers = (Timer(LATE, at.time + AGAIN), Timer(LEFT, at.time + self.last))
        return Reaction(Leaving(event.removal), (delete,), timers)

    def wake(
        self,
        state: Leaving | None,
        key: str,
        timer: str,
        now: datetime,  # noqa: ARG002 - part of the protocol
    ) -> Reaction[Leaving]:
        """Delete what came since then; in the end, say that nothing is left."""
        if state is None:
            return Reaction(None)
        if timer == LATE:
            return Reaction(state, (DeleteJobs(key, state.removal),))
        return Reaction(None, (ConcludeRemoval(key, state.removal),))


class OwnedJobs(Protocol):
    """Which jobs a user has."""

    async def ids_of(self, owner: str) -> Sequence[str]:
        """Return the ids of all jobs of a user."""


class OwnedKeys(Protocol):
    """The keys by which users repeat requests."""

    async def forget(self, owner: str) -> None:
        """Delete all keys of a user."""


@dataclass(frozen=True, slots=True)
class Deletions:
    """Carries out the commands of ``Departures``; a repetition changes nothing."""

    bus: CommandBus
    log: EventLog
    positions: Positions
    jobs: OwnedJobs
    keys: OwnedKeys
    control: JobControl

    async def carry_out(
        self, command: DeleteJobs | ConcludeRemoval, context: CommandContext
    ) -> None:
        """Delete a user's jobs, and conclude the removal, with the keys, if that is asked for.

        Once it is concluded, the jobs may be those of somebody new, and nothing is deleted any more.
        Raises Unavailable as long as the rows may not show all jobs, or one cannot be deleted yet.
        """
        owner, _ = await self.bus.state(OWNER, owner_subject(command.user_id))
        if owner.removal == command.removal:
            return
        stream = STREAMS["jobs"]
        if not await self.positions.wait("jobs", stream, (await self.log.state(stream)).last):
            raise Unavailable("The read model of jobs is behind")
        request_id = f"removal-{command.removal}"
        left = [
            job_id
            for job_id in await self.jobs.ids_of(command.user_id)
            if not await self._deleted(job_id, request_id)
        ]
        if left:
            raise Unavailable(f"{len(left)} jobs of a removed user cannot be deleted yet")
        if isinstance(command, ConcludeRemoval):
            await self.keys.forget(command.user_id)
            await self.bus.execute(OWNER, owner_subject(command.user_id), command, context)

    async def _deleted(self, job_id: str, request_id: str) -> bool:
        try:
            await self.control.cancel(job_id, ACTOR, request_id, ACTOR)
            await self.control.delete(job_id, ACTOR, request_id, ACTOR)
        except NotFound:
            return True
        except DomainRejected:  # it was cancelled with its results, which are being merged
            return False
        return True
