"""The cluster aggregate: an entry of the registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import assert_never

from kerma_common.contracts.events import batch as events
from kerma_common.domain import Aggregate, Missing, Rejected

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
MAX_NAME = 128
MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class AddCluster:
    """Register a cluster that is reached by SSH."""

    cluster: str
    name: str
    host: str
    port: int
    scheduler: str


@dataclass(frozen=True, slots=True)
class RemoveCluster:
    """Remove a cluster, which gets no more work."""

    cluster: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """State of one cluster; a removed one may be registered again."""

    registered: bool = False


ClusterCommand = AddCluster | RemoveCluster
ClusterEvent = events.ClusterRegistered | events.ClusterRemoved


def decide(cluster: Cluster, command: ClusterCommand) -> tuple[object, ...]:
    """Return the events of a command. Raises Rejected."""
    match command:
        case AddCluster():
            return _add(cluster, command)
        case RemoveCluster():
            if not cluster.registered:
                raise Missing("UNKNOWN_CLUSTER", "No such cluster is registered")
            return (events.ClusterRemoved(cluster=command.cluster),)
        case _:
            assert_never(command)


def _add(cluster: Cluster, command: AddCluster) -> tuple[object, ...]:
    if cluster.registered:
        raise Rejected("CLUSTER_EXISTS", f"Cluster {command.name} is registered already")
    if not 0 < len(command.name) <= MAX_NAME or not command.name.isprintable():
        raise Rejected("NAME", f"A cluster's name has 1 to {MAX_NAME} printable characters")
    if not HOST.fullmatch(command.host):
        raise Rejected("HOST", f"{command.host!r} is not a host name or address")
    if not 0 < command.port <= MAX_PORT:
        raise Rejected("PORT", f"A port is between 1 and {MAX_PORT}")
    registered = events.ClusterRegistered(
        cluster=command.cluster,
        name=command.name,
        host=command.host,
        port=command.port,
        scheduler=command.scheduler,
    )
    return (registered,)


def evolve(_cluster: Cluster, event: ClusterEvent) -> Cluster:
    """Return the state after an event."""
    match event:
        case events.ClusterRegistered():
            return Cluster(registered=True)
        case events.ClusterRemoved():
            return Cluster(registered=False)
        case _:
            assert_never(event)


CLUSTER: Aggregate[Cluster] = Aggregate("batch", "cluster", Cluster(), decide, evolve)
