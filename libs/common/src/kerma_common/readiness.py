"""Whether a service can work: its bus, database, blobs, loops and read models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from kerma_common.probes import Probes, standard_probes
from kerma_common.projection.catch_up import CatchUp

if TYPE_CHECKING:
    from kerma_common.infra import Infra
    from kerma_common.probes import Probe
    from kerma_common.projection.retries.persistence import Persistence
    from kerma_common.projection.router import Projection
    from kerma_common.service import Background

PATIENCE_SECONDS = 2.0
"""Time limit of the database check: callers of readiness wait only a few seconds."""


@dataclass(slots=True)
class Readiness:
    """The faults of a service, by part; without faults, the service can work.

    ``retries`` belong to the service's loops; ``probes`` extend the standard ones.
    """

    infra: Infra
    projections: Sequence[Projection]
    retries: Sequence[Persistence]
    probes: Mapping[str, Probe] = field(default_factory=dict)
    catch_up: CatchUp = field(init=False)
    _probing: Probes = field(init=False)

    def __post_init__(self) -> None:
        infra = self.infra
        self.catch_up = CatchUp(self.projections, infra.log, infra.db, infra.positions)
        self._probing = Probes(infra.service, {**standard_probes(infra), **self.probes})

    @property
    def background(self) -> tuple[tuple[str, Background], ...]:
        """Keep the report up to date; run this as a background task of the service."""
        return (
            *self.infra.background,
            ("positions", self.infra.positions.run),
            ("catch-up", self.catch_up.run),
            ("probes", self._probing.run),
        )

    def refusing(self) -> Mapping[str, str]:
        """Return the servers that refuse writes, ``nats`` or ``postgres``, with the symptom."""
        found = dict(self._probing.faults)
        refused = self.infra.refusals.faults()
        shown = {
            "nats": next(iter(refused.values()), found.get("append") or found.get("ticket")),
            "postgres": found.get("transaction"),
        }
        return {server: why for server, why in shown.items() if why is not None}

    async def __call__(self) -> Mapping[str, str]:
        """Return the faults by part."""
        faults = {} if self.infra.nats.is_connected else {"nats": "not connected"}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self.infra.db.connect() as connection:
                await connection.execute(select(1))
        except (SQLAlchemyError, OSError) as error:
            faults["database"] = type(error).__name__
        if not self.catch_up.done:
            faults["read models"] = ", ".join(map(str, self.catch_up.behind)) or "not looked at yet"
        if "api" in self.infra.roles and (fault := self.infra.identity.fault) is not None:
            faults["sessions"] = fault
        for retries in (*self.retries, self.catch_up.retries):
            if (fault := retries.fault) is not None:
                faults[retries.name] = fault
        faults |= {f"probe {name}": why for name, why in self._probing.faults.items()}
        return faults | self.infra.refusals.faults()
