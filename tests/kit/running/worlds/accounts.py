"""The auth service run by tests, and people who register and log in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from kerma_auth.main import build
from kerma_batch_gateway.main import build as build_batch
from kerma_common.infra import Infra
from kerma_common.settings import HttpSettings
from kit.events.tasks import end
from kit.running.worlds.services import MASTER_KEY, prepare, readable, running

PASSWORD = "s3cret-word"


@asynccontextmanager
async def auth_service(
    nats_url: str, postgres_url: str, blobs: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    """Run auth; yield its HTTP client and its ports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        await prepare(nats_url)
        where: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
        async with running("auth", "kerma_auth", build, **where) as found:
            yield found


@asynccontextmanager
async def auth_and_another(
    nats_url: str, postgres_url: str, blobs: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra, httpx.AsyncClient]]:
    """Run auth, and a service that only follows it; yield auth's client and ports, and the other's client."""
    where: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    async with (
        auth_service(**where) as (client, infra),
        running("batch", "kerma_batch_gateway", build_batch, **where) as (other, _),
    ):
        yield client, infra, other


@asynccontextmanager
async def replica(
    infra: Infra, address: str = "127.0.0.1", settings: HttpSettings | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Run auth once more on the same ports, with the settings of now, for a client at ``address``."""
    built = build(settings or HttpSettings(), infra)
    own = {"catch-up", "signing-key"}  # one process follows AUTH for both
    tasks = [asyncio.ensure_future(work()) for name, work in built.background if name in own]
    try:
        await readable(built)
        transport = httpx.ASGITransport(built.asgi, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client
    finally:
        faults = await end(tasks)
    assert not faults


async def register(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> None:
    """Create an account."""
    answer = await client.put("/auth/register", json={"username": name, "password": password})
    assert answer.status_code == 201, answer.text


async def login(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    """Try to log in without the cookies of an earlier session."""
    client.cookies.clear()
    return await client.post("/auth/login", json={"username": name, "password": password})
