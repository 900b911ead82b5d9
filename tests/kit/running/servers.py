"""Fixtures: real NATS and PostgreSQL as child processes on their own random ports.

Every server has a random name or a fresh data directory that is checked after connecting, so a
test never touches a neighbour's data. `nats_url` is a fresh server per test module (it is up in
milliseconds, and stream names are fixed); PostgreSQL and the cluster run once per session, and
`postgres_url` is a fresh database per test module.
"""

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from kerma_allinone.children import (
    NatsChild,
    NatsCluster,
    PostgresChild,
    nats_cluster,
    nats_server,
    postgres_server,
)
from kit.programs.family import PATIENCE, eventually

_databases = count(1)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder for servers' data that, unlike pytest's, other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="kerma-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats_child(servers_folder: Path) -> AsyncIterator[NatsChild]:
    """A fresh single server; tests may kill and restart it."""
    folder = Path(tempfile.mkdtemp(dir=servers_folder, prefix="nats-"))
    async with nats_server(folder) as server:
        yield server


@pytest.fixture(scope="module")
def nats_url(nats_child: NatsChild) -> str:
    """URL of a fresh single server, with its credential."""
    return nats_child.url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_nodes(servers_folder: Path) -> AsyncIterator[NatsCluster]:
    """A cluster of three servers."""
    async with nats_cluster(servers_folder / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def nats_cluster_url(nats_nodes: NatsCluster) -> str:
    """URLs of a cluster of three servers, separated by commas, with their credential."""
    return nats_nodes.url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_child(servers_folder: Path) -> AsyncIterator[PostgresChild]:
    """The session's PostgreSQL server."""
    async with postgres_server(servers_folder / "postgres", durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def postgres_url(postgres_child: PostgresChild) -> Iterator[str]:
    """URL of a fresh, empty database, with its credential."""
    with fresh_database(postgres_child) as url:
        yield url


@contextmanager
def fresh_database(postgres_child: PostgresChild) -> Iterator[str]:
    """Create an empty database for the block; yield its URL."""
    name = f"test_{next(_databases)}"
    database = sql.Identifier(name)
    with psycopg.connect(postgres_child.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(database))
    yield urlsplit(postgres_child.url)._replace(path=f"/{name}").geturl()
    # Use another connection: tests may have killed and restarted the server.
    with psycopg.connect(postgres_child.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@contextmanager
def standing_still(server: NatsChild) -> Iterator[None]:
    """Suspend the server for the block: it keeps its connections and answers nothing."""
    server.child.send(signal.SIGSTOP)
    try:
        # kill() returns before threads on other processors stop: they may still answer
        eventually(lambda: _stands(server.child.pid), PATIENCE, "the server stands still")
        yield
    finally:
        server.child.send(signal.SIGCONT)


def _stands(pid: int) -> bool:
    """Whether every thread of a process is stopped."""
    stats = [thread.read_text() for thread in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
