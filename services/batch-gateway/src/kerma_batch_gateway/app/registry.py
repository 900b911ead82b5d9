"""The cluster registry for operators.

Out: ClusterRegistered, ClusterRemoved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kerma_batch_gateway.domain.cluster import CLUSTER, AddCluster, RemoveCluster
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import cluster_subject


def cluster_id(name: str) -> str:
    """Return the id of a cluster by its name, which may hold characters that subjects may not."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ClusterRegistry:
    """Adds and removes clusters."""

    bus: CommandBus
    clock: Callable[[], datetime]

    async def add(self, name: str, host: str, port: int, *, actor: str, request_id: str) -> int:
        """Register a cluster and return the sequence of the commit. Raises DomainRejected."""
        cluster = cluster_id(name)
        command = AddCluster(cluster, name, host, port, "slurm")
        return await self._execute(cluster, command, actor, request_id)

    async def remove(self, name: str, *, actor: str, request_id: str) -> int:
        """Remove a cluster and return the sequence of the commit. Raises DomainRejected."""
        cluster = cluster_id(name)
        return await self._execute(cluster, RemoveCluster(cluster), actor, request_id)

    async def _execute(
        self, cluster: str, command: AddCluster | RemoveCluster, actor: str, request_id: str
    ) -> int:
        context = CommandContext(actor, (actor, request_id), request_id, self.clock())
        done = await self.bus.execute(CLUSTER, cluster_subject(cluster), command, context)
        return done.seq
