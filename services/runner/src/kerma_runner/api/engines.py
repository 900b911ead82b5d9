"""The engines that workers offer now, and the known ones that no worker offers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from kerma_common.http.native import page, resource
from kerma_common.http.policy import authenticated
from kerma_common.http.refusals.statuses import Body, answers
from kerma_common.http.route import KermaRoute
from kerma_engines.catalogue.registry import ENGINE_NAMES

if TYPE_CHECKING:
    from kerma_common.infra import Clock
    from kerma_runner.read.queries import LivingWorker, QueueRows


class Installation(TypedDict):
    """Workers that have the same installation of an engine."""

    version: str
    digest: str
    workers: int
    slots: int
    sandboxes: list[str]


class Engine(TypedDict):
    """An engine. While no worker has it, ``substitute`` runs its projects, if there is one."""

    name: str
    workers: int
    slots: int
    installations: list[Installation]
    substitute: str | None


class Engines(TypedDict):
    """All engines that Kerma knows; ``next`` is always null."""

    items: list[Engine]
    next: str | None


ENGINES = Body(
    Engines,
    {
        "items": [
            {
                "name": "geant4",
                "workers": 1,
                "slots": 2,
                "installations": [
                    {
                        "version": "11.4.1",
                        "digest": "9f2c",
                        "workers": 1,
                        "slots": 2,
                        "sandboxes": ["bubblewrap"],
                    }
                ],
                "substitute": None,
            }
        ],
        "next": None,
    },
)


def engine_routes(rows: QueueRows, clock: Clock, alive: timedelta) -> APIRouter:
    """Return ``GET /v1/engines``, which counts workers heard within ``alive``."""
    router = APIRouter(route_class=KermaRoute)

    @router.get("/v1/engines")
    @authenticated()
    @answers(200, 304, shows=ENGINES)
    async def list_engines(request: Request) -> Response:
        workers = await rows.workers(clock(), alive)
        return resource(request, page([describe(name, workers) for name in ENGINE_NAMES], None))

    return router


def describe(name: str, workers: Sequence[LivingWorker]) -> dict[str, Any]:
    """Describe an engine by its installations, or by the ``substitute`` that runs its projects."""
    having = [worker for worker in workers if name in worker.engines]
    same: defaultdict[tuple[str, str], list[LivingWorker]] = defaultdict(list)
    for worker in having:
        same[worker.engines[name], worker.digests.get(name, "")].append(worker)
    instead = {worker.substitutes[name] for worker in workers if name in worker.substitutes}
    return {
        "name": name,
        "workers": len(having),
        "slots": sum(worker.slots for worker in having),
        "installations": [
            {
                "version": version,
                "digest": digest,
                "workers": len(alike),
                "slots": sum(worker.slots for worker in alike),
                "sandboxes": sorted({worker.sandbox for worker in alike if worker.sandbox}),
            }
            for (version, digest), alike in sorted(same.items())
        ],
        "substitute": None if having else min(instead, default=None),
    }
