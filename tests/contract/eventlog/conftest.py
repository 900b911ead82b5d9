"""The adapters under test: memory, one server, and a cluster of three."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kerma_allinone.children import NatsChild, NatsCluster, nats_cluster, nats_server
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.eventlog.streams import apply_streams
from kerma_common.nats import connection


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def single(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsChild]:
    """One server with the streams applied."""
    async with nats_server(tmp_path_factory.mktemp("single")) as server:
        async with connection(server.url, name="setup") as nc:
            await apply_streams(nc, 1)
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsCluster]:
    """Three servers with the streams on each of them."""
    async with nats_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        async with connection(servers.url, name="setup") as nc:
            await apply_streams(nc, 3)
        yield servers


@pytest_asyncio.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[NatsChild]:
    """A server that the test may kill, with the streams applied."""
    async with nats_server(tmp_path / "nats") as server:
        async with connection(server.url, name="setup") as nc:
            await apply_streams(nc, 1)
        yield server


@pytest_asyncio.fixture
async def own_cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    """Three servers that the test may kill, with the streams on each of them."""
    async with nats_cluster(tmp_path / "cluster") as servers:
        async with connection(servers.url, name="setup") as nc:
            await apply_streams(nc, 3)
        yield servers


@pytest.fixture(params=["single", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of one server, then of a cluster."""
    servers: NatsChild | NatsCluster = request.getfixturevalue(request.param)
    return servers.url


@pytest.fixture(params=["memory", "single", "cluster"])
def servers(request: pytest.FixtureRequest) -> NatsChild | NatsCluster | None:
    """The servers of each adapter; none for memory."""
    if request.param == "memory":
        return None
    found: NatsChild | NatsCluster = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def log(servers: NatsChild | NatsCluster | None) -> AsyncIterator[MemoryLog | JetStreamLog]:
    """Each adapter in turn."""
    if servers is None:
        yield MemoryLog()
        return
    async with connection(servers.url, name="test") as nc:
        yield JetStreamLog(nc)
