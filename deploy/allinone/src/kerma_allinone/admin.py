"""What operators do to a running system: streams, read models, clusters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select

from kerma_allinone.assembly import SERVICES, Part
from kerma_allinone.infrastructure import open_infra
from kerma_batch_gateway.app.registry import ClusterRegistry
from kerma_batch_gateway.read.clusters import ClusterQueries, RegisteredCluster
from kerma_common.errors import InvalidRequest
from kerma_common.eventlog.streams import apply_streams
from kerma_common.infra import Infra
from kerma_common.nats import connection
from kerma_common.poison import copies
from kerma_common.projection import mending
from kerma_common.projection.rebuild import Compared, rebuild
from kerma_common.projection.runner import ProjectionSink
from kerma_common.projection.tables import CHECKPOINT, QUARANTINE
from kerma_common.settings import BlobSettings, NatsSettings, PgSettings, load

ACTOR = "admin"


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a read model is behind a stream, and how many aggregates are kept aside."""

    service: str
    projection: str
    stream: str
    behind: int
    quarantined: int


async def apply() -> tuple[str, ...]:
    """Create and change the streams; what was done."""
    settings = load(NatsSettings)
    url = settings.url.get_secret_value()
    async with connection(url, name=ACTOR, credentials=settings.credentials) as client:
        return await apply_streams(client, settings.replicas)


async def poison() -> list[dict[str, Any]]:
    """Copies of messages that could not be decoded."""
    settings = load(NatsSettings)
    url = settings.url.get_secret_value()
    async with connection(url, name=ACTOR, credentials=settings.credentials) as client:
        return await copies(client)


async def lags() -> list[Lag]:
    """Every read model of every service."""
    return [lag for service in SERVICES for lag in await _lags(service)]


async def _lags(service: str) -> list[Lag]:
    aside = (
        select(QUARANTINE.c.name, func.count(QUARANTINE.c.subject.distinct()).label("n"))
        .group_by(QUARANTINE.c.name)
        .subquery()
    )
    found = (
        select(CHECKPOINT.c.name, CHECKPOINT.c.stream, CHECKPOINT.c.seq, aside.c.n)
        .outerjoin(aside, aside.c.name == CHECKPOINT.c.name)
        .order_by(CHECKPOINT.c.name, CHECKPOINT.c.stream)
    )
    async with _infra(service) as infra:
        async with infra.db.connect() as connection_:
            rows = (await connection_.execute(found)).all()
        return [
            Lag(service, name, stream, (await infra.log.state(stream)).last - seq, n or 0)
            for name, stream, seq, n in rows
        ]


async def rebuild_service(service: str) -> Sequence[Compared]:
    """Project every read model of a service anew and replace the present ones."""
    part = _part(service)
    async with _infra(service) as infra:
        return await rebuild(part.projections(infra), infra.log, infra.db)


async def replay(service: str, projection: str, subject: str) -> int:
    """Apply the commits of a quarantined aggregate after a fix; how many."""
    part = _part(service)
    async with _infra(service) as infra:
        for found in part.projections(infra):
            if found.name == projection:
                return await mending.replay(ProjectionSink(found), infra.db, subject)
    raise InvalidRequest(f"{service} has no read model {projection}")


async def add_cluster(name: str, host: str, port: int) -> None:
    """Register a cluster; returns when it can be read."""
    async with _infra("batch") as infra:
        registry = ClusterRegistry(infra.bus, infra.clock)
        await registry.add(name, host, port, actor=ACTOR, request_id=str(uuid4()))


async def remove_cluster(name: str) -> None:
    """Remove a cluster."""
    async with _infra("batch") as infra:
        registry = ClusterRegistry(infra.bus, infra.clock)
        await registry.remove(name, actor=ACTOR, request_id=str(uuid4()))


async def clusters() -> list[RegisteredCluster]:
    """Every registered cluster."""
    async with _infra("batch") as infra:
        return await ClusterQueries(infra.db).all()


def _part(service: str) -> Part:
    if service not in SERVICES:
        raise InvalidRequest(f"{service} is not one of {', '.join(SERVICES)}")
    return SERVICES[service]


@asynccontextmanager
async def _infra(service: str) -> AsyncIterator[Infra]:
    async with open_infra(
        service,
        _part(service).package,
        frozenset(),
        nats=load(NatsSettings),
        postgres=load(PgSettings),
        blobs=load(BlobSettings),
    ) as infra:
        yield infra
