"""Waiting tasks and free slots per resource class and engine, for autoscalers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from kerma_common.http.answers import answer
from kerma_common.http.policy import authenticated
from kerma_common.http.route import KermaRoute
from kerma_common.http.statuses import answers

if TYPE_CHECKING:
    from kerma_common.infra import Clock
    from kerma_runner.read.open_tasks import OpenTasks


def demand_routes(rows: OpenTasks, clock: Clock, alive: timedelta) -> APIRouter:
    """Return ``GET /v1/runner/demand``, which counts the slots of workers heard within ``alive``.

    Tasks are counted up to ``COUNTED``.
    """
    router = APIRouter(route_class=KermaRoute, prefix="/v1/runner")

    @router.get("/demand")
    @authenticated()
    @answers(200)
    async def demand() -> Response:
        found = await rows.demand(clock(), alive)
        lanes = [
            {**asdict(of.lane), "queued": of.queued, "held": of.held, "slots": of.slots}
            for of in found
        ]
        return answer("Demand", lanes=lanes)

    return router
