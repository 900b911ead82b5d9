"""A new runner, log and database for every test.

Otherwise workers of the next test would get tasks that a test leaves behind, and its tickets would
be counted there.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kerma_allinone.children import NatsChild, PostgresChild, nats_server
from kit.running.servers import fresh_database
from kit.running.worlds.runner_service import HEARTBEAT_SECONDS, Running, running_runner


@pytest.fixture
async def nats_child(servers_folder: Path) -> AsyncIterator[NatsChild]:
    """A NATS server for one test."""
    folder = Path(tempfile.mkdtemp(dir=servers_folder, prefix="nats-"))
    async with nats_server(folder) as server:
        yield server


@pytest.fixture
def nats_url(nats_child: NatsChild) -> str:
    """The URL of that server."""
    return nats_child.url


@pytest.fixture
def postgres_url(postgres_child: PostgresChild) -> Iterator[str]:
    """A database for one test."""
    with fresh_database(postgres_child) as url:
        yield url


@pytest.fixture
def lease_seconds() -> float:
    """Long enough that no lease ends on a busy machine; tests that wait for an end set less."""
    return 120.0


@pytest.fixture
async def runner(
    nats_url: str, postgres_url: str, tmp_path: Path, lease_seconds: float
) -> AsyncIterator[Running]:
    """The service without workers."""
    async with running_runner(
        nats_url,
        postgres_url,
        tmp_path,
        lease_seconds=lease_seconds,
        heartbeat_seconds=HEARTBEAT_SECONDS,
    ) as running:
        yield running
