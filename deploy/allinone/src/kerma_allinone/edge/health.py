"""The health of everything that runs in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerma_common.service import Service


@dataclass(frozen=True, slots=True)
class WholeHealth:
    """``worker`` returns what is wrong with the worker, None when nothing is."""

    services: Sequence[Service]
    worker: Callable[[], str | None]

    async def __call__(self) -> Mapping[str, str]:
        """Return faults by ``service.part``, and of the worker."""
        found = await self.of_services()
        fault = self.worker()
        return found if fault is None else {**found, "worker": fault}

    async def of_services(self) -> Mapping[str, str]:
        """Return the services' faults, asked concurrently: each may wait for the same dead server."""
        answers = await asyncio.gather(*(service.health() for service in self.services))
        return {
            f"{service.name}.{part}": why
            for service, faults in zip(self.services, answers, strict=True)
            for part, why in faults.items()
        }
