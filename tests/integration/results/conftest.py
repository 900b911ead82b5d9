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


@pytest.fixture
async def world(nats_url: str, postgres_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A log, a database and a blob store; nothing runs yet."""
    async with opened(nats_url, postgres_url, tmp_path) as found:
        yield found
