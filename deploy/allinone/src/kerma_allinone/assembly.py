"""The services that make up Kerma."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerma_common.infra import Infra
    from kerma_common.process.manager import ProcessManager
    from kerma_common.projection.router import Projection
    from kerma_common.service import Service
    from kerma_common.settings import HttpSettings


@dataclass(frozen=True, slots=True)
class Part:
    """A service by its package, which holds its wiring and its migrations.

    The package is imported on demand: a process that runs one service does not load the others.
    """

    package: str

    def build(self, http: HttpSettings, infra: Infra) -> Service:
        """Build the service on its ports."""
        service: Service = self._main().build(http, infra)
        return service

    def projections(self, infra: Infra) -> tuple[Projection, ...]:
        """Return its read models."""
        projections: tuple[Projection, ...] = self._main().projections(infra)
        return projections

    @property
    def processes(self) -> tuple[ProcessManager[Any], ...]:
        """Return its process managers."""
        processes: tuple[ProcessManager[Any], ...] = self._main().PROCESSES
        return processes

    def load(self) -> None:
        """Import the package, which takes a while."""
        self._main()

    def _main(self) -> Any:
        return import_module(f"{self.package}.main")


SERVICES: Mapping[str, Part] = {
    "auth": Part("kerma_auth"),
    "jobs": Part("kerma_jobs"),
    "runner": Part("kerma_runner"),
    "results": Part("kerma_results"),
    "batch": Part("kerma_batch_gateway"),
}
