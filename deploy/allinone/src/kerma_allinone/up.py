"""Run everything on one machine: NATS, PostgreSQL, five services and a worker, in one process tree."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp

from kerma_allinone.admin.local import LocalAccess
from kerma_allinone.assembly import SERVICES
from kerma_allinone.children.answering import answers
from kerma_allinone.children.ending import Ending
from kerma_allinone.children.healing import Healing
from kerma_allinone.children.nats import NatsChild
from kerma_allinone.children.postgres import PostgresChild
from kerma_allinone.children.process import (
    Child,
    kept_secret,
    make_directory,
    start_child,
    write_private,
)
from kerma_allinone.children.supervision import keep
from kerma_allinone.edge.health import WholeHealth
from kerma_allinone.edge.internal import Guarded
from kerma_allinone.edge.routing import LocalGateway
from kerma_allinone.generated import provide_secrets, provided
from kerma_allinone.infrastructure import Shared, blob_folders, open_infra, shared_pool
from kerma_allinone.next_worker import NextWorker
from kerma_allinone.running import Running, remove_running, write_running
from kerma_allinone.starting import Servers
from kerma_common.eventlog.streams import apply_streams
from kerma_common.eventlog.tail import Tails
from kerma_common.http.app import create_app
from kerma_common.http.forwarding import Proxies, Watched
from kerma_common.infra import ALL_ROLES, Infra
from kerma_common.nats import connection
from kerma_common.readiness import Readiness
from kerma_common.room import MB, DiskRoom, disk_room, free_bytes
from kerma_common.security.follower import Follower
from kerma_common.security.identity import Identity
from kerma_common.service import Background, Service, serve
from kerma_common.settings import (
    BlobSettings,
    HttpSettings,
    NatsSettings,
    PgSettings,
    TelemetrySettings,
    load,
    private_places,
)
from kerma_common.stopping import Say, StopSignals
from kerma_common.telemetry.logs import configure_logs
from kerma_common.telemetry.traces import configure_traces
from kerma_engines.adapter.environment import passed_on
from kerma_engines.catalogue.catalogue import load_catalogue
from kerma_runner.worker.offers import EnginesSettings
from kerma_runner.worker.settings import WorkerSettings
from kerma_sandbox.forks.shared import SharedForks
from kerma_sandbox.measure import Mode, measure

OTLP = "KERMA_TELEMETRY_OTLP_ENDPOINT"
READY_CHECK_SECONDS = 0.05
WORKER_SETTINGS = "KERMA_WORKER_"
WORKER_STOP_SECONDS = 4.0
START_BYTES = 16 * MB
"""Free bytes that a server needs to start: PostgreSQL writes a segment of its log."""
NATS_URL, PG_URL = "nats-url", "pg-url"
INTERNAL_TOKEN = "internal-token"  # noqa: S105  the name of a file


@dataclass(frozen=True, slots=True)
class Backing:
    """What the services depend on: settings of a server, and its child process if it is ours."""

    nats: NatsSettings
    postgres: PgSettings
    blobs: BlobSettings
    children: tuple[NatsChild | PostgresChild, ...]
    room: DiskRoom
    """What all services depend on, as kept by this process."""

    def has_room(self) -> bool:
        """Return whether servers can start and write."""
        return all(free_bytes(folder) >= START_BYTES for folder in self.room.folders)


async def run(
    data: Path,
    port: int,
    slots: int | None,
    substitute: str | None,
    servers: Servers,
    say: Say,
    signals: StopSignals,
) -> None:
    """Start everything on ``servers`` and stay until one of ``signals``.

    ``KERMA_BLOB_URL`` replaces the folder of blobs; without ``KERMA_ENGINES_FILE`` the catalogue is
    ``engines.toml`` in ``data``. Raises ChildError, ServiceError or SettingsError, whose texts are
    for people, and CatalogueError and SandboxUnavailable, which a worker could only log.
    """
    engines = _engines(data, slots, substitute)
    make_directory(data / "logs")
    _log_to(data / "logs" / "kerma.log")
    async with AsyncExitStack() as stack:
        stack.callback(configure_traces("kerma", load(TelemetrySettings).otlp_endpoint))
        backing = await _open_backing(data, servers)
        await _prepare_log(backing.nats)
        worker = None
        if slots != 0:
            # starts while the services do
            worker = WorkerChild(data, backing, slots, engines)
            stack.push_async_callback(worker.stop)
        db, idle = await stack.enter_async_context(shared_pool(backing.postgres, len(SERVICES)))
        services, infras = await _open_services(stack, data, backing, db)
        if worker is not None:
            worker.next = await NextWorker.from_now(infras)
        stack.callback(remove_running, data)
        health = WholeHealth(services, worker.fault if worker else _nothing)
        access = LocalAccess(data, infras["auth"])
        ready = Announcement(access, health, backing.blobs.url, worker, say)
        workers = _workers(services, backing, worker, ready.run)
        workers += (("identity", _follower(infras["auth"]).run), ("connections", idle.run))
        proxies = Proxies(load(HttpSettings).trusted_proxies)
        internal = _internal(data, infras, health, proxies)
        gateway = LocalGateway({service.name: service.asgi for service in services}, internal)
        routes = Watched(gateway, proxies)
        whole = Service("kerma", routes, workers, health)
        ending = Ending(backing.children, worker.stop if worker else None)
        await serve(
            whole,
            "127.0.0.1",
            port,
            started=ready.listening,
            stopping=ending.run,
            signals=signals,
            forced=ending.kill,
        )


def _engines(data: Path, slots: int | None, substitute: str | None) -> EnginesSettings:
    file = Path(os.environ.get("KERMA_ENGINES_FILE", data / "engines.toml")).resolve()
    chosen = {} if substitute is None else {"substitute": substitute}
    engines = load(EnginesSettings, file=file, **chosen)
    load_catalogue(engines.file)
    if slots != 0 and (mode := load(WorkerSettings).sandbox) is Mode.REQUIRE:
        measure(data, mode=mode)
    # the converter accepts what the worker's engines support, given the data sets of the catalogue
    os.environ["KERMA_ENGINES_FILE"] = str(engines.file)
    return engines


def _log_to(path: Path) -> None:
    path.touch(mode=0o600)
    configure_logs("kerma", os.environ.get("KERMA_TELEMETRY_LOG_LEVEL", "INFO"), path.open("a"))


async def _open_backing(data: Path, servers: Servers) -> Backing:
    children: list[NatsChild | PostgresChild] = []
    if servers.nats is None:
        nats = load(NatsSettings)
    else:
        nats_child = await servers.nats
        nats = NatsSettings(url=SecretStr(nats_child.url))
        children.append(nats_child)
    if servers.postgres is None:
        postgres = load(PgSettings)
    else:
        pg_child = await servers.postgres
        postgres = PgSettings(url=SecretStr(pg_child.url))
        children.append(pg_child)
    blobs = load(BlobSettings, url=os.environ.get("KERMA_BLOB_URL", f"file://{data / 'blobs'}"))
    write_private(data / NATS_URL, nats.url.get_secret_value())
    write_private(data / PG_URL, postgres.url.get_secret_value())
    folders = {data, *(child.directory for child in children), *blob_folders(blobs)}
    return Backing(nats, postgres, blobs, tuple(children), disk_room(*sorted(folders)))


async def _prepare_log(nats: NatsSettings) -> None:
    url = nats.url.get_secret_value()
    async with connection(url, name="admin", credentials=nats.credentials) as client:
        await apply_streams(client, nats.replicas)


async def _open_services(
    stack: AsyncExitStack, data: Path, backing: Backing, db: AsyncEngine
) -> tuple[tuple[Service, ...], Mapping[str, Infra]]:
    provide_secrets(data)
    identity = Identity()
    url, credentials = backing.nats.url.get_secret_value(), backing.nats.credentials
    reader = connection(url, name="reader", credentials=credentials)
    tails = Tails(await stack.enter_async_context(reader))
    shared = Shared(backing.room, identity, tails, SharedForks(private_places), db=db)
    try:
        async with asyncio.TaskGroup() as group:
            opening = {
                name: group.create_task(stack.enter_async_context(_infra(name, backing, shared)))
                for name in SERVICES
            }
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None
    infras = {name: task.result() for name, task in opening.items()}
    http = load(HttpSettings)
    return tuple(part.build(http, infras[name]) for name, part in SERVICES.items()), infras


def _infra(name: str, backing: Backing, shared: Shared) -> AbstractAsyncContextManager[Infra]:
    return open_infra(
        name,
        SERVICES[name].package,
        ALL_ROLES,
        nats=backing.nats,
        postgres=backing.postgres,
        blobs=backing.blobs,
        shared=shared,
    )


def _follower(infra: Infra) -> Follower:
    """Return what keeps the identity of all services up to date."""
    return Follower(infra.identity, infra.log, infra.nats, "kerma")


def _nothing() -> None:
    """Report no fault, since no worker was asked for."""


def _internal(
    data: Path, infras: Mapping[str, Infra], health: WholeHealth, proxies: Proxies
) -> ASGIApp:
    """Return the app of the operators' paths, which covers all services."""
    app = create_app(
        "kerma",
        verifier=infras["auth"].verifier,
        health=health,
        settings=load(HttpSettings),
        proxies=proxies,
    )
    return Guarded(app, kept_secret(data / INTERNAL_TOKEN))


def _workers(
    services: tuple[Service, ...],
    backing: Backing,
    worker: WorkerChild | None,
    announce: Background,
) -> tuple[tuple[str, Background], ...]:
    """Return the background tasks of all services, and the supervision of the children."""
    workers = [
        (f"{service.name}.{name}", work)
        for service in services
        for name, work in service.background
    ]
    workers += [
        (child.child.name, partial(keep, child, backing.has_room)) for child in backing.children
    ]
    workers += [("announce", announce), ("healing", _healing(services, backing).run)]
    if worker is not None:
        workers.append(("worker", worker.run))
    return tuple(workers)


def _healing(services: tuple[Service, ...], backing: Backing) -> Healing:
    reports = [s.health for s in services if isinstance(s.health, Readiness)]
    names = {NatsChild: "nats", PostgresChild: "postgres"}
    servers = {names[type(child)]: child for child in backing.children}
    return Healing(
        reports, servers, backing.has_room, lambda name: answers(name, servers[name].port)
    )


class WorkerChild:
    """The worker agent as a child process, started again whenever it ends."""

    def __init__(
        self, data: Path, backing: Backing, slots: int | None, engines: EnginesSettings
    ) -> None:
        self._data = data
        self._has_room = backing.has_room
        telemetry = load(TelemetrySettings)
        private = load(WorkerSettings).private
        self._environment = {
            **passed_on(os.environ),
            **{name: os.environ[name] for name in os.environ if name.startswith(WORKER_SETTINGS)},
            "KERMA_NATS_URL_FILE": str(data / NATS_URL),
            "KERMA_WORKER_SCRATCH": str(data / "scratch"),
            "KERMA_WORKER_PRIVATE": os.pathsep.join(map(str, (data, *private))),
            "KERMA_ENGINES_FILE": str(engines.file),
            "KERMA_TELEMETRY_LOG_LEVEL": telemetry.log_level,
            **({OTLP: telemetry.otlp_endpoint} if telemetry.otlp_endpoint else {}),
            **({"KERMA_ENGINES_SUBSTITUTE": engines.substitute} if engines.substitute else {}),
            **_blob_environment(backing.blobs),
            **({"KERMA_WORKER_SLOTS": str(slots)} if slots else {}),
        }
        self._stopping = False
        self._registered = False
        self.next: NextWorker | None = None
        self.child = self._start()

    async def registered(self) -> None:
        """Wait until the first worker is registered and its engines can be looked up."""
        if self.next is not None:
            await self.next.wait()
        self._registered = True

    def fault(self) -> str | None:
        """Return why no task would run now, as far as this process can see."""
        if self.child.returncode is not None:
            return "not running"
        return None if self._registered else "not registered yet"

    async def run(self) -> None:
        """Keep a worker running."""
        await keep(self, self._has_room)

    async def restart(self) -> None:
        """Start a new worker, unless it was stopped on purpose."""
        if self._stopping:
            await asyncio.get_running_loop().create_future()
        self.child = self._start()

    def _start(self) -> Child:
        return start_child(
            "worker",
            [sys.executable, "-m", "kerma_runner.worker"],
            log=self._data / "logs" / "worker.log",
            cwd=self._data,
            death_signal=signal.SIGTERM,
            environment=self._environment,
        )

    async def stop(self) -> None:
        """Let the worker hand back its tasks and end."""
        self._stopping = True
        await self.child.stop(signal.SIGTERM, WORKER_STOP_SECONDS)


def _blob_environment(blobs: BlobSettings) -> dict[str, str]:
    names = ("KERMA_BLOB_ENDPOINT", "KERMA_BLOB_REGION")
    secret = ("KERMA_BLOB_ACCESS_KEY", "KERMA_BLOB_SECRET_KEY")
    keys = [*names, *secret, *(f"{name}_FILE" for name in secret)]
    return {"KERMA_BLOB_URL": blobs.url, **{k: os.environ[k] for k in keys if k in os.environ}}


class Announcement:
    """Prints the address once everything answers, the worker is registered, and commands have access."""

    def __init__(
        self,
        access: LocalAccess,
        health: WholeHealth,
        blob_url: str,
        worker: WorkerChild | None,
        say: Say,
    ) -> None:
        self._access, self._data = access, access.data
        self._blob_url = blob_url
        self._health = health
        self._worker = worker
        self._say = say
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def listening(self, port: int) -> None:
        """Note the port on which requests are accepted."""
        self._port.set_result(port)

    async def run(self) -> None:
        """Wait until every service is ready, then print the address."""
        port = await self._port
        # readiness is a state of five services and has no event
        while await self._health.of_services():  # noqa: ASYNC110
            await asyncio.sleep(READY_CHECK_SECONDS)
        await self._access.prepare()
        if self._worker is not None:
            await self._worker.registered()
        url, logs = f"http://127.0.0.1:{port}", self._data / "logs"
        settings = {
            "KERMA_NATS_URL_FILE": str(self._data / NATS_URL),
            "KERMA_PG_URL_FILE": str(self._data / PG_URL),
            "KERMA_BLOB_URL": self._blob_url,
            **provided(),
        }
        write_running(self._data, Running(url, os.getpid(), str(logs), settings))
        self._say(f"Kerma is ready at {url} (logs in {logs}); stop it with Ctrl-C")
        await self._access.run()
