"""Services run by tests: real bus, real database, no sockets for HTTP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from kerma_allinone.infrastructure import open_infra
from kerma_common.eventlog.streams import apply_streams
from kerma_common.http.policy import Verifier
from kerma_common.infra import ALL_ROLES, Infra
from kerma_common.nats import connection
from kerma_common.service import Service
from kerma_common.settings import BlobSettings, HttpSettings, NatsSettings, PgSettings
from kit.events.tasks import end
from kit.programs.family import PATIENCE

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
Build = Callable[[HttpSettings, Infra], Service]


async def prepare(nats_url: str) -> None:
    """Apply the streams of the log."""
    async with connection(nats_url, name="admin") as client:
        await apply_streams(client)


async def readable(service: Service) -> None:
    """Wait until the service's read models have caught up: requests before that get 503."""
    transport = httpx.ASGITransport(service.asgi)
    async with (
        asyncio.timeout(PATIENCE),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        # The gate holds each request for a while.
        while (await client.get("/nowhere")).status_code == 503:
            pass


@asynccontextmanager
async def running(
    service: str,
    package: str,
    build: Build,
    *,
    nats_url: str,
    postgres_url: str,
    blobs: Path,
    roles: frozenset[str] = ALL_ROLES,
    verifier: Verifier | None = None,
    caught_up: bool = True,
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    """Run one service with its background tasks; yield its HTTP client and its ports.

    With ``caught_up``, wait until it answers requests.
    """
    settings = (
        NatsSettings(url=nats_url),
        PgSettings(url=postgres_url),
        BlobSettings(url=f"file://{blobs}"),
    )
    nats, postgres, blob = settings
    async with open_infra(
        service, package, roles, nats=nats, postgres=postgres, blobs=blob
    ) as found:
        infra = found if verifier is None else replace(found, verifier=verifier)
        built = build(HttpSettings(), infra)
        tasks = [asyncio.ensure_future(work()) for _, work in built.background]
        transport = httpx.ASGITransport(built.asgi)
        try:
            if caught_up:
                await readable(built)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield client, infra
        finally:
            faults = await end(tasks)
        if faults:
            raise faults[0]
