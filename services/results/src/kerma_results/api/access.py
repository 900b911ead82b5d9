"""Access to results: only for the owner of the job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Query

from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from kerma_common.commands.lateness import Lateness
    from kerma_common.http.policy import Principal
    from kerma_results.read.queries import Chosen, ResultQueries, StoredEstimator

JobIdParameter = Annotated[str, Query(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Access:
    """Reads for one caller: all raise NotFound for a job that is unknown or deleted, Forbidden for
    another user's, and Unavailable while it cannot be told.
    """

    queries: ResultQueries
    lateness: Lateness

    async def require_owner(self, job_id: str, principal: Principal) -> None:
        """Raise unless the job is the caller's."""
        source = await self.lateness.find(job_id, lambda: self.queries.source(job_id))
        _require(source.owner if source is not None else None, principal)

    async def results(
        self, job_id: str, principal: Principal, chosen: Chosen
    ) -> list[StoredEstimator]:
        """Return the chosen estimators of the caller's job, by one statement."""
        user = principal.user_id
        owner, found = await self.lateness.find(
            job_id, lambda: self.queries.results(job_id, user, chosen)
        ) or (None, [])
        _require(owner, principal)
        return found


def _require(owner: str | None, principal: Principal) -> None:
    if owner is None:
        raise NotFound(UNKNOWN_JOB)
    if owner != principal.user_id:
        raise Forbidden("The job belongs to another user")
