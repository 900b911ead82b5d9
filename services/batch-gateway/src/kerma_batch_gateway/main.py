"""Wiring of the batch gateway."""

from __future__ import annotations

from kerma_batch_gateway.api.clusters import router
from kerma_batch_gateway.read.clusters import CLUSTERS, ClusterQueries
from kerma_common.db.engine import autocommit
from kerma_common.http.app import create_app
from kerma_common.infra import Infra
from kerma_common.projection.router import Projection
from kerma_common.projection.runner import projection_loop
from kerma_common.readiness import Readiness
from kerma_common.service import Background, Service
from kerma_common.settings import HttpSettings

MIGRATED = None

PROCESSES = ()
"""The service has no process managers."""


def projections(infra: Infra) -> tuple[Projection, ...]:  # noqa: ARG001 - others need ports
    """Return every read model of the service."""
    return (CLUSTERS,)


def build(settings: HttpSettings, infra: Infra) -> Service:
    """Build the parts of the service that this process runs."""
    loops = [
        projection_loop(projection, infra.log, infra.db, infra.positions)
        for projection in projections(infra)
        if "project" in infra.roles
    ]
    background: list[tuple[str, Background]] = [(loop.sink.name, loop.run) for loop in loops]
    health = Readiness(infra, projections(infra), [loop.retries for loop in loops])
    background += health.background
    app = create_app(
        "batch",
        verifier=infra.verifier,
        health=health,
        settings=settings,
        catch_up=health.catch_up,
        routers=[router(ClusterQueries(autocommit(infra.db)))] if "api" in infra.roles else [],
    )
    return Service("batch", app, tuple(background), health)
