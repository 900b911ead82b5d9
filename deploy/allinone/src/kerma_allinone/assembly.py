"""Which services there are, and which of them answers a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kerma_auth import main as auth
from kerma_batch_gateway import main as batch
from kerma_common.infra import Infra
from kerma_common.projection.router import Projection
from kerma_common.service import Service
from kerma_common.settings import HttpSettings
from kerma_jobs import main as jobs
from kerma_results import main as results
from kerma_runner import main as runner


@dataclass(frozen=True, slots=True)
class Part:
    """A service: the package that holds its migrations, its wiring, and its read models."""

    package: str
    build: Callable[[HttpSettings, Infra], Service]
    projections: Callable[[Infra], tuple[Projection, ...]]


SERVICES: Mapping[str, Part] = {
    "auth": Part("kerma_auth", auth.build, auth.projections),
    "jobs": Part("kerma_jobs", jobs.build, jobs.projections),
    "runner": Part("kerma_runner", runner.build, runner.projections),
    "results": Part("kerma_results", results.build, results.projections),
    "batch": Part("kerma_batch_gateway", batch.build, batch.projections),
}
