"""Events of the batch gateway: clusters that can run tasks."""

from __future__ import annotations

from kerma_common.contracts.registry import event


@event("batch", "cluster", public=True)
class ClusterRegistered:
    """A cluster can be reached under this name, host and port."""

    cluster: str
    name: str
    host: str
    port: int
    scheduler: str


@event("batch", "cluster", public=True)
class ClusterRemoved:
    """No new work goes to the cluster."""

    cluster: str
