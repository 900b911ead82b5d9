"""Fixtures: the environment of a results service, and a new job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from kerma_common.contracts.ids import JobId, job_id
from kit.running.worlds.results_world import NOW, World, opened


@pytest.fixture
def job() -> JobId:
    """A new job id."""
    return job_id(NOW, uuid4(), "DIRECT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the blobs, kept as long as the module's log and database."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
async def world(nats_url: str, postgres_url: str, folder: Path) -> AsyncIterator[World]:
    """A log, a database and a blob store, without a running service."""
    async with opened(nats_url, postgres_url, folder) as found:
        yield found
