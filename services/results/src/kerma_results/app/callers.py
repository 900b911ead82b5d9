"""Who delivers: a script with the update key of a job that runs outside of Kerma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_common.errors import WRONG_DATA, DomainRejected, InvalidRequest, Unavailable
from kerma_results.app.supply import BATCH
from kerma_results.read.project import RESULTS

if TYPE_CHECKING:
    from collections.abc import Collection

    from kerma_common.commands.consistency import Positions
    from kerma_common.eventlog.port import EventLog
    from kerma_common.security.update_keys import UpdateKeys, Verb
    from kerma_results.read.queries import DeliverySource, ResultQueries

PATIENCE_SECONDS = 10.0
CANCELED = frozenset({"CANCELED"})
CLOSED = CANCELED | {"FAILED"}
"""States in which a job takes no results; logs may still say why it failed."""
UNKNOWN = "There is no such job, or its results do not come from outside."


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller: the job, and what is known of it."""

    job_id: str
    job: DeliverySource


@dataclass(frozen=True, slots=True)
class Callers:
    """Verifies callers."""

    keys: UpdateKeys
    queries: ResultQueries
    log: EventLog
    positions: Positions

    async def verified(self, simulation_id: object, update_key: object, verb: Verb) -> Caller:
        """Return the caller with this key, as of all that has happened to the job until now.

        Raises InvalidRequest for a key that is not valid for the job, Unavailable while the read
        model is behind.
        """
        key = self.keys.verify(update_key, simulation_id, verb)
        last = (await self.log.state("JOBS")).last
        if not await self.positions.wait(RESULTS.name, "JOBS", last, PATIENCE_SECONDS):
            raise Unavailable("The job is not known here yet; please try again")
        job = await self.queries.delivery(key.job_id, BATCH)
        if job is None:
            raise InvalidRequest(WRONG_DATA, {"simulation_id": [UNKNOWN]})
        if key.void_since(job.keys_from):
            raise InvalidRequest(WRONG_DATA, {"update_key": ["The key is not valid."]})
        return Caller(key.job_id, job)


def require_open(caller: Caller, what: str, ends: Collection[str] = CLOSED) -> None:
    """Raise DomainRejected for a job that ended in one of these states without results."""
    if caller.job.ended in ends:
        raise DomainRejected("JOB_ENDED", f"The job is {caller.job.ended} and accepts no {what}")
