"""Projection ``clusters``: the registered clusters, oldest first.

In: ClusterRegistered, ClusterRemoved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts.events import batch
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.ops import Delete, Op, Upsert

METADATA = MetaData()

CLUSTER = Table(
    "cluster",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("scheduler", Text, nullable=False),
    Column("registered_seq", BigInteger, nullable=False),
)

CLUSTERS = Projection("batch", "clusters", ("BATCH",), METADATA)


@CLUSTERS.on(batch.ClusterRegistered)
def registered(event: batch.ClusterRegistered, at: At) -> Iterator[Op]:
    """Add the cluster."""
    yield Upsert(
        CLUSTER,
        {"cluster": event.cluster},
        {
            "name": event.name,
            "host": event.host,
            "port": event.port,
            "scheduler": event.scheduler,
            "registered_seq": at.seq,
        },
    )


@CLUSTERS.on(batch.ClusterRemoved)
def removed(event: batch.ClusterRemoved, at: At) -> Iterator[Op]:
    """Delete the cluster."""
    yield Delete(CLUSTER, {"cluster": event.cluster})


@dataclass(frozen=True, slots=True)
class RegisteredCluster:
    """A registered cluster."""

    name: str
    host: str
    port: int
    scheduler: str


@dataclass(frozen=True, slots=True)
class ClusterQueries:
    """Queries on the batch schema."""

    db: AsyncEngine

    async def all(self) -> list[RegisteredCluster]:
        """Return every cluster, oldest first; the first one is the default."""
        found = select(
            CLUSTER.c.name, CLUSTER.c.host, CLUSTER.c.port, CLUSTER.c.scheduler
        ).order_by(CLUSTER.c.registered_seq)
        async with self.db.connect() as connection:
            return [RegisteredCluster(*row) for row in await connection.execute(found)]
