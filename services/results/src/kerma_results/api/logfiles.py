"""``GET /logfiles``: why tasks failed, in their own words."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from kerma_common.errors import NotFound
from kerma_common.http.answers import answer
from kerma_common.http.policy import CurrentPrincipal, authenticated
from kerma_common.http.route import KermaRoute
from kerma_results.api.access import require_owner
from kerma_results.api.results import Asked
from kerma_results.app.logs import Logs
from kerma_results.read.queries import ResultQueries


def routes(queries: ResultQueries, logs: Logs) -> APIRouter:
    """The route; it tolerates the parameters of ``/results``, as its clients expect."""
    router = APIRouter(route_class=KermaRoute)

    @router.get("/logfiles")
    @authenticated()
    async def logfiles(asked: Annotated[Asked, Query()], principal: CurrentPrincipal) -> Response:
        await require_owner(queries, asked.job_id, principal)
        texts = await logs.texts(asked.job_id)
        if not texts:
            raise NotFound("The job has no log files")
        return answer("Log files of the job", logfiles=texts)

    return router
