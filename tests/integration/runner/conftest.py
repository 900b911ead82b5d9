"""A runner with short leases, fresh for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.runner_service import Running, running_runner


@pytest.fixture
async def runner(nats_url: str, postgres_url: str, tmp_path: Path) -> AsyncIterator[Running]:
    """The service without workers."""
    async with running_runner(
        nats_url, postgres_url, tmp_path, lease_seconds=2.0, heartbeat_seconds=0.3
    ) as running:
        yield running
