"""Make the ports of a service from settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from kerma_common.blobs.store import open_blobs
from kerma_common.clock import system_clock
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.db.connections import Connections, open_connections
from kerma_common.db.engine import create_pool, in_schema
from kerma_common.db.idle import IdleConnections
from kerma_common.db.migrations import migrate
from kerma_common.db.reads import Reads, open_reads
from kerma_common.errors import ContractViolation
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.streams import verify_streams
from kerma_common.eventlog.tail import Tails
from kerma_common.infra import Infra
from kerma_common.nats import connection
from kerma_common.projection.rebuild import ensure_read_models
from kerma_common.room import Room, disk_room
from kerma_common.security.follower import Follower
from kerma_common.security.identity import Identity
from kerma_common.security.verifier import TokenVerifier
from kerma_common.service import Background, ServiceError
from kerma_common.settings import BlobSettings, NatsSettings, PgSettings, private_places
from kerma_common.telemetry.traces import traceparent
from kerma_sandbox.forks.shared import SharedForks

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kerma_common.db.migrated import MigratedSchema


@dataclass(frozen=True, slots=True)
class Shared:
    """What services of one process have in common.

    ``room`` is that of the folder of blobs, unless given. The caller keeps an ``identity`` up to
    date. Services with the same ``tails`` read the log together, those with the same ``forks`` share
    a nursery, those with the same ``db`` its connections, which the caller closes.
    """

    room: Room | None = None
    identity: Identity | None = None
    tails: Tails | None = None
    forks: SharedForks | None = None
    db: AsyncEngine | None = None


@asynccontextmanager
async def open_infra(
    service: str,
    package: str,
    roles: frozenset[str],
    *,
    nats: NatsSettings,
    postgres: PgSettings,
    blobs: BlobSettings,
    shared: Shared | None = None,
) -> AsyncIterator[Infra]:
    """Open the ports of one service, with its tables migrated and the streams verified.

    Raises ServiceError when a newer release has left tables that this one does not know.
    """
    main = import_module(f"{package}.main")
    await _migrate(main.MIGRATED, package, postgres)
    shared = shared or Shared()
    async with (
        _database(service, postgres, shared.db) as database,
        connection(
            nats.url.get_secret_value(), name=service, credentials=nats.credentials
        ) as client,
    ):
        await verify_streams(client)
        log = JetStreamLog(client, traceparent=traceparent, tails=shared.tails)
        known = shared.identity or Identity()
        background: list[tuple[str, Background]] = [("connections", database.idle.run)]
        if shared.identity is None and "api" in roles:
            background.append(("identity", Follower(known, log, client, service).run))
        infra = Infra(
            service=service,
            nats=client,
            log=log,
            bus=CommandBus(log, service),
            db=database.engine,
            blobs=open_blobs(blobs),
            positions=Positions(service, database.engine, client),
            verifier=TokenVerifier(known),
            clock=system_clock,
            reads=database.reads,
            writers=database.writers,
            roles=roles,
            refusals=log.refusals,
            room=shared.room or disk_room(*blob_folders(blobs)),
            identity=known,
            forks=shared.forks or SharedForks(private_places),
            background=tuple(background),
        )
        with _for_people():
            await ensure_read_models(main.projections(infra), log, database.engine)
        yield infra


@dataclass(frozen=True, slots=True)
class _Database:
    """One service's ways to its schema, and what closes their idle connections."""

    engine: AsyncEngine
    reads: Reads
    writers: Connections
    idle: IdleConnections


@asynccontextmanager
async def _database(
    service: str, postgres: PgSettings, shared: AsyncEngine | None
) -> AsyncIterator[_Database]:
    """Open a pool, unless the process has one for all its services, and the connections beside it."""
    name = f"kerma-{service}"
    pool = shared or create_pool(postgres, name)
    reads = open_reads(postgres, name, service)
    writers = open_connections(postgres, name, postgres.writers, planned_once=True)
    own = pool if shared is None else None
    idle = IdleConnections(own, (reads.connections, writers))
    try:
        yield _Database(in_schema(pool, service), reads, writers, idle)
    finally:
        await reads.close()
        await writers.close()
        if shared is None:
            await pool.dispose()


@asynccontextmanager
async def shared_pool(
    postgres: PgSettings, services: int
) -> AsyncIterator[tuple[AsyncEngine, IdleConnections]]:
    """Open a pool for so many services of this process, and what closes its idle connections."""
    pool = create_pool(postgres, "kerma", services)
    try:
        yield pool, IdleConnections(pool)
    finally:
        await pool.dispose()


def blob_folders(blobs: BlobSettings) -> tuple[Path, ...]:
    """Return the folder of the store, if the store is a folder."""
    parts = urlsplit(blobs.url)
    return (Path(unquote(parts.path)),) if parts.scheme == "file" else ()


async def _migrate(migrated: MigratedSchema | None, package: str, postgres: PgSettings) -> None:
    if migrated is not None:
        with _for_people():
            await migrate(postgres.url.get_secret_value(), package, migrated.schema)


@contextmanager
def _for_people() -> Iterator[None]:
    try:
        yield
    except ContractViolation as error:
        raise ServiceError(error.message) from error
