"""Access to results: only for the owner of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Query

from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from kerma_common.http.policy import Principal
    from kerma_results.read.queries import Chosen, ResultQueries, StoredEstimator

JobIdParameter = Annotated[str, Query(min_length=1, max_length=200)]


async def require_owner(queries: ResultQueries, job_id: str, principal: Principal) -> None:
    """Raise NotFound for a job that is unknown or deleted, Forbidden for another user's job."""
    source = await queries.source(job_id)
    _require(source.owner if source is not None else None, principal)


async def owned_results(
    queries: ResultQueries, job_id: str, principal: Principal, chosen: Chosen
) -> list[StoredEstimator]:
    """Return the chosen estimators of the caller's job, by one statement. Raises as above."""
    owner, found = await queries.results(job_id, principal.user_id, chosen) or (None, [])
    _require(owner, principal)
    return found


def _require(owner: str | None, principal: Principal) -> None:
    if owner is None:
        raise NotFound(UNKNOWN_JOB)
    if owner != principal.user_id:
        raise Forbidden("The job belongs to another user")
