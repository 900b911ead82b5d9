"""One jobs service for a module of tests, with a registered worker that offers Geant4."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from kerma_common.infra import Infra
from kerma_jobs.main import build
from kit.running.jobs_world import NamedUsers, offer
from kit.running.services import prepare, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jobs(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    await prepare(nats_url)
    async with running(
        "jobs",
        "kerma_jobs",
        build,
        nats_url=nats_url,
        postgres_url=postgres_url,
        blobs=tmp_path_factory.mktemp("blobs"),
        verifier=NamedUsers(),
    ) as found:
        await offer(found[1], "first", "geant4")
        yield found
