"""One jobs service for a module of tests, with a registered worker that offers Geant4."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from kerma_common.infra import Infra
from kerma_jobs.main import build
from kit.running.worlds.ahead import Start, starter
from kit.running.worlds.cluster import Script, register, remove, run
from kit.running.worlds.jobs_world import NamedUsers, offer
from kit.running.worlds.services import MASTER_KEY, prepare, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jobs(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    await prepare(nats_url)
    blobs = tmp_path_factory.mktemp("blobs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_UPDATE_KEYS_SECRET", MASTER_KEY)
        # of commands that a test runs
        patch.setenv("KERMA_NATS_URL", nats_url)
        patch.setenv("KERMA_PG_URL", postgres_url)
        patch.setenv("KERMA_BLOB_URL", f"file://{blobs}")
        async with running(
            "jobs",
            "kerma_jobs",
            build,
            nats_url=nats_url,
            postgres_url=postgres_url,
            blobs=blobs,
            verifier=NamedUsers(),
        ) as found:
            await offer(found[1], "first", "geant4")
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    jobs: tuple[httpx.AsyncClient, Infra],
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    """The service while a cluster is registered."""
    cluster = await register(jobs[1], "ares")
    yield jobs
    await remove(jobs[1], cluster)


@pytest_asyncio.fixture(loop_scope="module")
async def script(world: tuple[httpx.AsyncClient, Infra]) -> Script:
    """A script that runs a new job of two tasks on the cluster."""
    return await run(*world)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def start(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Start]:
    """What starts the service at a time that is ahead of the present."""
    await prepare(nats_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_UPDATE_KEYS_SECRET", MASTER_KEY)
        patch.setenv("KERMA_UPDATE_KEYS_DAYS", "30")
        yield starter(nats_url, postgres_url, tmp_path_factory.mktemp("blobs"))
