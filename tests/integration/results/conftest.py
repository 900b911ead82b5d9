"""Fixtures: the surroundings of a results service, and a fresh job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from kerma_common.contracts.ids import JobId, job_id
from kit.results_world import NOW, World, opened


@pytest.fixture
def job() -> JobId:
    """A fresh job id."""
    return job_id(NOW, uuid4(), "DIRECT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where blobs are: they live as long as the log and the database of the module."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
async def world(nats_url: str, postgres_url: str, folder: Path) -> AsyncIterator[World]:
    """A log, a database and a blob store; nothing runs yet."""
    async with opened(nats_url, postgres_url, folder) as found:
        yield found
