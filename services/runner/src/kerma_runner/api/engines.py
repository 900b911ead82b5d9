"""The engines that workers offer now, and the known ones that no worker offers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import Response

from kerma_common.http.answers import answer
from kerma_common.http.policy import authenticated
from kerma_common.http.route import KermaRoute
from kerma_common.http.statuses import answers
from kerma_engines.catalogue.registry import ENGINE_NAMES

if TYPE_CHECKING:
    from kerma_common.infra import Clock
    from kerma_runner.read.queries import LivingWorker, QueueRows


def engine_routes(rows: QueueRows, clock: Clock, alive: timedelta) -> APIRouter:
    """Return ``GET /v1/engines``, which counts workers heard within ``alive``."""
    router = APIRouter(route_class=KermaRoute)

    @router.get("/v1/engines")
    @authenticated()
    @answers(200)
    async def engines() -> Response:
        workers = await rows.workers(clock(), alive)
        return answer("Engines", engines=[describe(name, workers) for name in ENGINE_NAMES])

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
