"""Wait until the worker that was just started can be given jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_common.contracts.events.runner import WorkerRegistered
from kerma_common.contracts.registry import type_of

if TYPE_CHECKING:
    from kerma_common.infra import Infra

_STREAM = "RUNNER"
_READ_MODELS = {"jobs": "jobs", "runner": "queue"}
"""Services that look up the workers' offers, and the read model that holds them."""


@dataclass(frozen=True, slots=True)
class NextWorker:
    """The first worker to register after position ``after`` of the stream.

    ``infras`` are the connections of the services by name.
    """

    infras: Mapping[str, Infra]
    after: int

    @classmethod
    async def from_now(cls, infras: Mapping[str, Infra]) -> NextWorker:
        """Return the first worker to register from now on."""
        state = await infras["runner"].log.state(_STREAM)
        return cls(infras, state.last)

    async def wait(self) -> None:
        """Wait until it is registered and jobs and runner know its engines."""
        seq = await self._registered()
        for service, projection in _READ_MODELS.items():
            while not await self.infras[service].positions.wait(projection, _STREAM, seq):
                pass

    async def _registered(self) -> int:
        wire = type_of(WorkerRegistered).wire
        async with self.infras["runner"].log.follow(_STREAM, self.after) as batches:
            async for batch in batches:
                for record in batch:
                    if wire in record.commit.types.split(","):
                        return record.seq
        raise RuntimeError(f"nothing more comes from {_STREAM}")
