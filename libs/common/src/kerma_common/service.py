"""A service as a value, and the only way to run it.

Routes and background tasks start and stop together. If a background task ends, for any reason, the
process ends and its supervisor restarts it; loops continue from their checkpoints.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from kerma_common.clock import until_next
from kerma_common.db.missing import missing_table
from kerma_common.http.app import Health
from kerma_common.http.server.connections import Connections
from kerma_common.http.server.protocol import EdgeConfig
from kerma_common.settings import HttpSettings, load
from kerma_common.stopping import LAST_SECONDS, MOST_SECONDS, StopSignals

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 5
STOP_SECONDS = 4
"""How long parts may take to end after another one failed."""
FORCE_SECONDS = MOST_SECONDS - 1.0
"""When the process ends after a stop signal, whatever still runs."""
TICK_SECONDS = 1.0
SPARE_SECONDS = 5  # our timer for idle connections must fire before uvicorn's
Background = Callable[[], Awaitable[None]]
_Force = Callable[[tuple[asyncio.Task[None], ...], float], Coroutine[Any, Any, None]]


class ServiceError(Exception):
    """The service could not start or lost a part; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Service:
    """`background` tasks run for the life of the process; returning is as fatal as raising."""

    name: str
    asgi: ASGIApp
    background: tuple[tuple[str, Background], ...]
    health: Health


async def serve(
    service: Service,
    host: str,
    port: int,
    *,
    settings: HttpSettings | None = None,
    started: Callable[[int], None] | None = None,
    stopping: Background | None = None,
    signals: StopSignals | None = None,
    forced: Callable[[], None] | None = None,
) -> None:
    """Run until SIGINT or SIGTERM, then stop everything within ten seconds.

    Open requests are drained before background tasks are cancelled, because they may wait for
    projections; `stopping` is awaited meanwhile. `started` gets the port once requests are accepted
    (port 0 lets the system choose). `settings` bound what clients may send. `signals` are those
    that the caller catches already: its process ends ten seconds after one of them, or after a part
    failed, whatever the caller still cleans up. They say on the terminal when a part does not stop
    and is left behind; `forced` is called then, just before the process ends. Raises `ServiceError`
    if the port is taken or a background task ends.
    """
    connections = Connections(settings or load(HttpSettings))
    with _listening(host, port) as listener, _caught(service.name, signals) as stop:
        server = _Server(_config(service, connections), listener, started)
        stop.forced = forced
        force = partial(_exit_if_stuck, stop=stop)
        try:
            async with asyncio.TaskGroup() as group:
                await _run(group, service, server, stop, stopping, force)
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None


async def _run(
    group: asyncio.TaskGroup,
    service: Service,
    server: "_Server",
    stop: StopSignals,
    stopping: Background | None,
    force: "_Force",
) -> None:
    background = [
        group.create_task(_guard(name, work), name=f"{service.name}:{name}")
        for name, work in service.background
    ]
    web = group.create_task(_web(server, stop.asked), name=f"{service.name}:web")
    try:
        await stop.asked.wait()
    except asyncio.CancelledError:
        # A part failed. The group waits for the others for ever, and takes no more tasks.
        stop.asked.set()
        stop.end_within(LAST_SECONDS)
        server.exit_watch = asyncio.create_task(force((web, *background), STOP_SECONDS))
        raise
    end = asyncio.get_running_loop().time() + FORCE_SECONDS
    server.leave()
    ending = [web]
    if stopping is not None:
        ending.append(group.create_task(_await(stopping), name=f"{service.name}:stopping"))
    await asyncio.wait(ending, timeout=DRAIN_SECONDS + 1)
    cancelled = (*ending, *background)
    for task in cancelled:
        task.cancel()
    group.create_task(force(cancelled, end - asyncio.get_running_loop().time()))


async def _await(work: Background) -> None:
    await work()


async def _guard(name: str, work: Background) -> None:
    """Run a background task. Its end is a fault; a ServiceError from it passes through."""
    try:
        # Run it in a separate task: it could otherwise cancel itself and end unnoticed.
        async with asyncio.TaskGroup() as alone:
            alone.create_task(_await(work), name=name)
    except ExceptionGroup as faults:
        error: Exception = faults
        while isinstance(error, ExceptionGroup):  # background tasks may run task groups
            error = error.exceptions[0]
        logger.error("background task %s failed", name, exc_info=error)
        if isinstance(error, ServiceError):
            raise error from None
        raise ServiceError(f"background task {name} failed: {_reason(error)}") from error
    raise ServiceError(f"background task {name} ended")


def _reason(error: Exception) -> str:
    if (missing := missing_table(error)) is not None:
        return (
            f"{missing}. Start again: read models are rebuilt from the log, but vaults and the"
            " tables of processes only come back from a backup"
        )
    return f"{type(error).__name__}: {error}"


async def _web(server: "_Server", stop: asyncio.Event) -> None:
    try:
        await server.serve(sockets=[server.listener])
    finally:
        await _end(server.server_state.tasks)
    if not stop.is_set():
        raise ServiceError("the web server ended")


async def _end(requests: Collection[asyncio.Task[None]]) -> None:
    """Cancel requests that outlast the drain; uvicorn would not wait until they have ended.

    They hold connections of the database, whose pool closes after the server.
    """
    for request in requests:
        if not request.cancelling():  # a second cancellation would interrupt its clean-up
            request.cancel()
    if requests:
        await asyncio.wait(list(requests))


async def _exit_if_stuck(
    tasks: tuple[asyncio.Task[None], ...],
    seconds: float,
    *,
    stop: StopSignals,
) -> None:
    """Exit if a task ignores its cancellation for ``seconds``; the log makes that safe."""
    _, stuck = await asyncio.wait(tasks, timeout=seconds)
    if stuck:
        names = ", ".join(task.get_name() for task in stuck)
        logger.critical("does not stop: %s", names)
        stop.end(names)


class _Server(uvicorn.Server):
    """Uvicorn on our socket, with our signal handling."""

    def __init__(
        self,
        config: EdgeConfig,
        listener: socket.socket,
        started: Callable[[int], None] | None,
    ) -> None:
        super().__init__(config)
        self._connections = config.connections
        self._told = config.leaving
        self.listener = listener
        self._tell = started
        self.exit_watch: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Stop accepting requests, and end when those that are open have their answers."""
        self.should_exit = True
        self._told.now()
        self._leaving.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it."""
        await super().startup(sockets)
        if self._tell is not None and not self.should_exit:
            self._tell(self.listener.getsockname()[1])

    async def main_loop(self) -> None:
        """Tick once a second until it is time to leave. Uvicorn wakes up ten times as often."""
        # Uvicorn renews the date header at every tenth tick, beginning with 0.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(until_next(TICK_SECONDS)):
                    await self._leaving.wait()

    async def on_tick(self, counter: int) -> bool:
        """Check for slow clients."""
        self._connections.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)


def _config(service: Service, connections: Connections) -> EdgeConfig:
    return EdgeConfig(
        connections,
        service.asgi,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=int(connections.settings.idle_seconds) + SPARE_SECONDS,
        proxy_headers=False,  # only the connection register uses the client's address
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None else str(error)
        raise ServiceError(f"cannot listen on {host}:{port}: {reason}") from None
    with listener:
        yield listener


@contextmanager
def _caught(name: str, signals: StopSignals | None) -> Iterator[StopSignals]:
    """Yield the signals of the caller, or catch some of our own."""
    if signals is not None:
        signals.started()
        yield signals
        return
    own = StopSignals(name)
    own.catch()
    try:
        yield own
    finally:
        own.release()
