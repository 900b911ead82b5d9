"""The ports that every service is built on; ``main.build`` of a service wires nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kerma_common.eventlog.refusals import Refusals
from kerma_common.room import DiskRoom, Room
from kerma_common.security.identity import Identity
from kerma_common.settings import private_places
from kerma_sandbox.forks.shared import SharedForks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from nats.aio.client import Client
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kerma_common.blobs.store import BlobStore
    from kerma_common.commands.bus import CommandBus
    from kerma_common.commands.consistency import Positions
    from kerma_common.db.connections import Connections
    from kerma_common.db.reads import Reads
    from kerma_common.eventlog.port import EventLog
    from kerma_common.security.principal import Verifier


class Clock(Protocol):
    """The source of the current time."""

    def __call__(self) -> datetime:
        """Return the current time, timezone-aware, in UTC."""


ALL_ROLES = frozenset({"api", "project", "process"})


@dataclass(frozen=True, slots=True)
class Infra:
    """The infrastructure a service depends on.

    ``db`` maps tables without a schema to the service's schema; ``reads`` is for what is read often,
    ``writers`` for small transactions of requests.
    ``roles`` says which parts of the service this process runs: routes, projections, processes
    (policies, dispatchers, pollers). ``refusals`` knows the streams that refuse writes, ``room``
    whether there is space for new work. ``identity`` is what the process knows of keys and
    revocations. ``forks`` are for untrusted work. ``background`` tasks run with those of the service.
    """

    service: str
    nats: Client
    log: EventLog
    bus: CommandBus
    db: AsyncEngine
    blobs: BlobStore
    positions: Positions
    verifier: Verifier
    clock: Clock
    reads: Reads
    writers: Connections
    roles: frozenset[str] = ALL_ROLES
    refusals: Refusals = field(default_factory=Refusals)
    room: Room = field(default_factory=lambda: DiskRoom((), 0))
    identity: Identity = field(default_factory=Identity)
    forks: SharedForks = field(default_factory=lambda: SharedForks(private_places))
    background: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = ()
