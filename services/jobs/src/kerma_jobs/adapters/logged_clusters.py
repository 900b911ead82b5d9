"""The registry of clusters, read from the log of the batch gateway.

In: ClusterRegistered, ClusterRemoved. The registry is small and read at submissions to clusters only,
so this needs no rows, and a cluster counts from the moment it is registered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerma_common.contracts.events import batch
from kerma_common.eventlog.port import EventLog
from kerma_jobs.app.ports import RegisteredCluster

STREAM = "BATCH"
CLUSTERS = "ev.batch.cluster.>"


@dataclass(frozen=True, slots=True)
class LoggedClusters:
    """See ``Clusters``."""

    log: EventLog

    async def registered(self) -> Sequence[RegisteredCluster]:
        """See ``Clusters``."""
        found: dict[str, RegisteredCluster] = {}
        for record in await self.log.history(STREAM, CLUSTERS):
            for stored in record.commit.events:
                match stored.decode():
                    case batch.ClusterRegistered() as event:
                        found[event.cluster] = RegisteredCluster(event.cluster, event.name)
                    case batch.ClusterRemoved() as event:
                        found.pop(event.cluster, None)
        return list(found.values())
