"""Waiting tasks and free slots per resource class and engine, for autoscalers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from kerma_common.http.native import page, resource
from kerma_common.http.policy import authenticated
from kerma_common.http.refusals.statuses import Body, answers
from kerma_common.http.route import KermaRoute

if TYPE_CHECKING:
    from kerma_common.infra import Clock
    from kerma_runner.read.open_tasks import OpenTasks


class LaneDemand(TypedDict):
    """Tasks that wait or are held by a worker, and slots for them."""

    resource_class: str
    engine: str
    queued: int
    held: int
    slots: int


class Demand(TypedDict):
    """All lanes; ``next`` is always null."""

    items: list[LaneDemand]
    next: str | None


DEMAND = Body(
    Demand,
    {
        "items": [
            {"resource_class": "pool", "engine": "geant4", "queued": 8, "held": 2, "slots": 2}
        ],
        "next": None,
    },
)


def demand_routes(rows: OpenTasks, clock: Clock, alive: timedelta) -> APIRouter:
    """Return ``GET /v1/runner/demand``, which counts the slots of workers heard within ``alive``.

    Tasks are counted up to ``COUNTED``.
    """
    router = APIRouter(route_class=KermaRoute, prefix="/v1/runner")

    @router.get("/demand")
    @authenticated()
    @answers(200, 304, shows=DEMAND)
    async def list_demand(request: Request) -> Response:
        found = await rows.demand(clock(), alive)
        lanes = [
            {**asdict(of.lane), "queued": of.queued, "held": of.held, "slots": of.slots}
            for of in found
        ]
        return resource(request, page(lanes, None))

    return router
