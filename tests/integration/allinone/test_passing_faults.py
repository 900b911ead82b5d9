"""Servers that hang or lose their connections for a while end no background task of any service."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
import pytest_asyncio

from kerma_allinone.assembly import SERVICES
from kerma_allinone.children import NatsChild, PostgresChild, postgres_server
from kerma_allinone.infrastructure import open_infra
from kerma_common import clock
from kerma_common.db import idle, sweeping
from kerma_common.infra import ALL_ROLES
from kerma_common.service import Background, Service
from kerma_common.settings import BlobSettings, HttpSettings, NatsSettings, PgSettings
from kit.events.tasks import end
from kit.programs.family import PATIENCE
from kit.running.servers import standing_still
from kit.running.worlds.services import MASTER_KEY, prepare, readable

pytestmark = pytest.mark.asyncio(loop_scope="module")
POOL_SECONDS = 0.3
HANG_SECONDS = 3.0
"""Ten times as long as anything waits for a connection."""
PERIOD = 0.1
"""No periodic work waits for longer, so that all of it falls on the faults."""


@dataclass
class World:
    """All services with their background tasks, by ``service:task``, and their servers."""

    services: list[Service]
    tasks: dict[str, asyncio.Task[None]]
    nats: NatsChild
    postgres: PostgresChild

    def ended(self) -> dict[str, object]:
        """Return the tasks that have ended, with their reason."""
        done = {name: task for name, task in self.tasks.items() if task.done()}
        return {name: task.cancelled() or task.exception() for name, task in done.items()}

    async def recovers(self) -> None:
        """Wait until every service is ready."""
        async with asyncio.timeout(PATIENCE):
            for service in self.services:
                while await service.health():
                    await asyncio.sleep(0.05)


@contextmanager
def hurried() -> Iterator[None]:
    """Let periodic work begin often. Modules have the function under their own names."""
    original = clock.until_next

    def soon(period: float) -> float:
        return original(min(period, PERIOD))

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("kerma_") and vars(module).get("until_next") is original:
                patch.setattr(module, "until_next", soon)
        patch.setattr(idle, "IDLE_SECONDS", PERIOD)
        patch.setattr(sweeping, "SWEEP_SECONDS", PERIOD)
        yield


@asynccontextmanager
async def all_services(
    nats: NatsChild, postgres: PostgresChild, blobs: Path
) -> AsyncIterator[World]:
    """Run every service, each on a small pool of its own."""
    await prepare(nats.url)
    world = World([], {}, nats, postgres)
    bus, blob = NatsSettings(url=nats.url), BlobSettings(url=f"file://{blobs}")
    small = PgSettings(url=postgres.url, pool_size=2, pool_seconds=POOL_SECONDS)
    for part in SERVICES.values():
        part.load()
    async with AsyncExitStack() as stack:
        with hurried():
            for name, part in SERVICES.items():
                where = (name, part.package, ALL_ROLES)
                infra = await stack.enter_async_context(
                    open_infra(*where, nats=bus, postgres=small, blobs=blob)
                )
                built = part.build(HttpSettings(), infra)
                world.services.append(built)
                for task, work in built.background:
                    world.tasks[f"{name}:{task}"] = asyncio.create_task(_run(work))
            try:
                for service in world.services:
                    await readable(service)
                yield world
            finally:
                faults = await end(list(world.tasks.values()))
        assert not faults


async def _run(work: Background) -> None:
    await work()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(nats_child: NatsChild, servers_folder: Path) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        blobs = servers_folder / "faults-blobs"
        blobs.mkdir()
        async with (
            # its own server: others of the session would hang too
            postgres_server(servers_folder / "faults-postgres", durable=False) as postgres,
            all_services(nats_child, postgres, blobs) as made,
        ):
            yield made


@contextmanager
def hanging(server: PostgresChild) -> Iterator[None]:
    """Suspend the server with all its connections."""
    postmaster = psutil.Process(server.child.pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(family):
            process.resume()


async def test_every_service_has_the_tasks_that_are_meant(world: World) -> None:
    wanted = {"auth:sweeper", "auth:signing-key", "jobs:sweeper", "jobs:live-updates"}
    wanted |= {f"{name}:{task}" for name in SERVICES for task in ("connections", "probes")}
    assert wanted <= world.tasks.keys()
    assert not world.ended()


async def test_a_database_that_hangs_ends_no_task(world: World) -> None:
    with hanging(world.postgres):
        await asyncio.sleep(HANG_SECONDS)
        assert not world.ended()
        faults = [await service.health() for service in world.services]
        assert all("database" in found for found in faults)
    await world.recovers()
    assert not world.ended()


async def test_a_database_that_drops_its_connections_ends_no_task(world: World) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    async with await psycopg.AsyncConnection.connect(world.postgres.url, autocommit=True) as admin:
        for _ in range(5):
            await admin.execute(f"{others} AND datname IS NOT NULL")
            await asyncio.sleep(3 * PERIOD)
    await world.recovers()
    assert not world.ended()


async def test_a_database_that_starts_again_ends_no_task(world: World) -> None:
    await world.postgres.child.stop(signal.SIGQUIT)
    await asyncio.sleep(HANG_SECONDS / 2)
    assert not world.ended()
    await world.postgres.restart()
    await world.recovers()
    assert not world.ended()


async def test_a_bus_that_hangs_ends_no_task(world: World) -> None:
    with standing_still(world.nats):
        await asyncio.sleep(HANG_SECONDS)
    await world.recovers()
    assert not world.ended()
