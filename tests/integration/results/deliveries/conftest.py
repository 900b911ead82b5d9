"""Fixtures: a results service with update keys, and a job on a cluster that waits for its results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from kerma_common.contracts.ids import JobId, job_id
from kit.running.clients.deliveries import SETTING, Delivery, delivery
from kit.running.worlds.results_world import NOW, Running, World


@pytest.fixture
def job() -> JobId:
    """The id of a job on a cluster."""
    return job_id(NOW, uuid4(), "BATCH")


@pytest.fixture
async def running(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A service that knows the secret of update keys."""
    monkeypatch.setenv(*SETTING)
    async with world.service() as found:
        yield found


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    """The owner of the jobs."""
    async with running.client() as found:
        yield found


@pytest.fixture
async def sent(world: World, running: Running, job: JobId) -> Delivery:
    """A job that waits for its results."""
    return await delivery(world, job)
