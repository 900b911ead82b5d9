"""Operators' actions on a running system: streams, read models, processes, clusters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from kerma_allinone.admin.mending import Lag, Mender, Quarantined
from kerma_allinone.assembly import SERVICES, Part
from kerma_allinone.infrastructure import open_infra
from kerma_batch_gateway.app.registry import ClusterRegistry
from kerma_batch_gateway.read.clusters import ClusterQueries, RegisteredCluster
from kerma_common.admin.audit import Entry, entries
from kerma_common.errors import InvalidRequest
from kerma_common.eventlog.kept import read_all
from kerma_common.eventlog.streams import apply_streams
from kerma_common.garbage import collect_less
from kerma_common.infra import Infra
from kerma_common.nats import connection
from kerma_common.poison import STREAM as POISON
from kerma_common.poison import copied
from kerma_common.projection.rebuild import Compared, rebuild
from kerma_common.settings import BlobSettings, NatsSettings, PgSettings, load

if TYPE_CHECKING:
    from nats.aio.client import Client

    from kerma_common.process.mending import Parked

T = TypeVar("T")
ACTOR = "admin"


async def apply() -> tuple[str, ...]:
    """Create and change the streams; return what was done."""
    async with _client() as client:
        return await apply_streams(client, load(NatsSettings).replicas)


async def poison() -> list[dict[str, Any]]:
    """Return copies of the messages that could not be decoded, oldest first."""
    async with _client() as client:
        found = [copied(body) for body in await read_all(client, POISON)]
        return [copy for copy in found if copy is not None]


async def audited() -> list[Entry]:
    """Return what operators did, oldest first."""
    async with _client() as client:
        return await entries(client)


async def lags() -> list[Lag]:
    """Return the lag of every read model and process manager of every service."""
    return [lag for service in SERVICES for lag in await _asked(service, Mender.lags)]


async def quarantined() -> list[Quarantined]:
    """Return what every service has in quarantine."""
    return [found for service in SERVICES for found in await _asked(service, Mender.quarantined)]


async def parked() -> list[tuple[str, Parked]]:
    """Return what every service has parked, by service."""
    return [
        (service, found) for service in SERVICES for found in await _asked(service, Mender.parked)
    ]


async def replay(service: str, name: str, unit: str, reason: str) -> int:
    """Apply what a read model or process has in quarantine of a unit; return how many commits."""
    return await _asked(service, lambda mender: mender.replay(name, unit, reason))


async def skip(service: str, name: str, unit: str, reason: str) -> tuple[int, int]:
    """Give up the failed commits of a unit and apply the others; return how many of each."""
    return await _asked(service, lambda mender: mender.skip(name, unit, reason))


async def retry(service: str, parked_id: str, reason: str) -> None:
    """Try a parked command or timer again."""
    await _asked(service, lambda mender: mender.retry(parked_id, reason))


async def drop(service: str, parked_id: str, reason: str) -> None:
    """Give up a parked command or timer."""
    await _asked(service, lambda mender: mender.drop(parked_id, reason))


async def _asked(service: str, action: Callable[[Mender], Awaitable[T]]) -> T:
    part = _part(service)
    async with open_service(service) as infra:
        return await action(Mender(part, infra))


async def rebuild_service(service: str) -> Sequence[Compared]:
    """Project every read model of a service anew and replace the present ones."""
    part = _part(service)
    async with open_service(service) as infra:
        collect_less()
        return await rebuild(part.projections(infra), infra.log, infra.db)


async def add_cluster(name: str, host: str, port: int) -> None:
    """Register a cluster."""
    async with open_service("batch") as infra:
        registry = ClusterRegistry(infra.bus, infra.clock)
        await registry.add(name, host, port, actor=ACTOR, request_id=str(uuid4()))


async def remove_cluster(name: str) -> None:
    """Remove a cluster."""
    async with open_service("batch") as infra:
        registry = ClusterRegistry(infra.bus, infra.clock)
        await registry.remove(name, actor=ACTOR, request_id=str(uuid4()))


async def clusters() -> list[RegisteredCluster]:
    """Return every registered cluster."""
    async with open_service("batch") as infra:
        return await ClusterQueries(infra.db).all()


def _part(service: str) -> Part:
    if service not in SERVICES:
        raise InvalidRequest(f"{service} is not one of {', '.join(SERVICES)}")
    return SERVICES[service]


@asynccontextmanager
async def _client() -> AsyncIterator[Client]:
    settings = load(NatsSettings)
    url = settings.url.get_secret_value()
    async with connection(url, name=ACTOR, credentials=settings.credentials) as client:
        yield client


@asynccontextmanager
async def open_service(service: str) -> AsyncIterator[Infra]:
    """Open the ports of a service to read and to execute commands.

    It only listens to the positions of the read models: their stored checkpoints may lag behind by
    the period of a lease's renewal, and waiting for those alone could fail.
    """
    async with open_infra(
        service,
        _part(service).package,
        frozenset(),
        nats=load(NatsSettings),
        postgres=load(PgSettings),
        blobs=load(BlobSettings),
    ) as infra:
        listening = asyncio.create_task(infra.positions.run())
        try:
            yield infra
        finally:
            listening.cancel()
            await asyncio.wait([listening])
