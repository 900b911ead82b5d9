"""Routes for the registered clusters."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from kerma_batch_gateway.read.clusters import ClusterQueries
from kerma_common.http.answers import answer
from kerma_common.http.policy import authenticated
from kerma_common.http.route import KermaRoute
from kerma_common.http.statuses import answers


def router(queries: ClusterQueries) -> APIRouter:
    """Return all routes of the service."""
    api = APIRouter(route_class=KermaRoute)

    @api.get("/clusters")
    @authenticated()
    @answers(200)
    async def clusters() -> Response:
        names = [{"cluster_name": cluster.name} for cluster in await queries.all()]
        return answer("Available clusters", clusters=names)

    return api
