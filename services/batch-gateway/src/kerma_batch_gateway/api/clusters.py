"""Routes for the registered clusters."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from kerma_batch_gateway.read.clusters import ClusterQueries
from kerma_common.http.answers import answer
from kerma_common.http.native import page, resource
from kerma_common.http.policy import authenticated
from kerma_common.http.refusals.statuses import Body, answers, envelope
from kerma_common.http.route import KermaRoute


class Cluster(TypedDict):
    """A cluster that takes jobs; the first one is the default."""

    name: str
    scheduler: str


class Clusters(TypedDict):
    """All clusters, oldest first; ``next`` is always null."""

    items: list[Cluster]
    next: str | None


CLUSTERS = Body(Clusters, {"items": [{"name": "ares.example", "scheduler": "slurm"}], "next": None})


def router(queries: ClusterQueries) -> APIRouter:
    """Return all routes of the service."""
    api = APIRouter(route_class=KermaRoute)

    @api.get("/clusters")
    @authenticated()
    @answers(200, shows=envelope("Available clusters", clusters=[{"cluster_name": "ares.example"}]))
    async def clusters() -> Response:
        names = [{"cluster_name": cluster.name} for cluster in await queries.all()]
        return answer("Available clusters", clusters=names)

    @api.get("/v1/clusters")
    @authenticated()
    @answers(200, 304, shows=CLUSTERS)
    async def list_clusters(request: Request) -> Response:
        found = await queries.all()
        shown = [{"name": cluster.name, "scheduler": cluster.scheduler} for cluster in found]
        return resource(request, page(shown, None))

    return api
