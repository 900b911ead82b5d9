"""Access to results: only for the owner of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Query

from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from kerma_common.http.policy import Principal
    from kerma_results.read.queries import ResultQueries

"""Clients compare this text."""

JobIdParameter = Annotated[str, Query(min_length=1, max_length=200)]


async def require_owner(queries: ResultQueries, job_id: str, principal: Principal) -> None:
    """Raise NotFound for a job that is unknown or deleted, Forbidden for another user's job."""
    source = await queries.source(job_id)
    if source is None:
        raise NotFound(UNKNOWN_JOB)
    if source.owner != principal.user_id:
        raise Forbidden("The job belongs to another user")
