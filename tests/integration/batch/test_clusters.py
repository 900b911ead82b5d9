"""Clusters over HTTP, as operators register them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from kerma_batch_gateway.app.registry import ClusterRegistry
from kerma_batch_gateway.main import build
from kerma_common.errors import NotFound
from kerma_common.infra import Infra
from kit.running.worlds.jobs_world import NamedUsers
from kit.running.worlds.services import prepare, running

USER = {"Authorization": "Bearer somebody"}


@pytest_asyncio.fixture
async def batch(
    nats_url: str, postgres_url: str, tmp_path: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    await prepare(nats_url)
    async with running(
        "batch",
        "kerma_batch_gateway",
        build,
        nats_url=nats_url,
        postgres_url=postgres_url,
        blobs=tmp_path,
        verifier=NamedUsers(),
    ) as found:
        yield found


async def test_clusters_are_listed_oldest_first_until_they_are_removed(
    batch: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = batch
    registry = ClusterRegistry(infra.bus, lambda: datetime.now(UTC))

    async def listed() -> list[str]:
        answer = await client.get("/clusters", headers=USER)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"message", "clusters"}
        return [cluster["cluster_name"] for cluster in answer.json()["clusters"]]

    async def seen(seq: int) -> None:
        assert await infra.positions.wait("clusters", "BATCH", seq, 10.0)

    assert await listed() == []
    for number, name in enumerate(("Zeus", "Ares")):
        host = f"{name.lower()}.example"
        await seen(await registry.add(name, host, 22, actor="op", request_id=f"add-{number}"))
    assert await listed() == ["Zeus", "Ares"]
    await seen(await registry.remove("Zeus", actor="op", request_id="remove"))
    assert await listed() == ["Ares"]


async def test_only_users_see_them(batch: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = batch
    assert (await client.get("/clusters")).status_code == 401
    void = await client.get("/clusters", headers={"Authorization": "Bearer void"})
    assert void.status_code == 403
    unknown = await client.get("/clusters", headers=USER, params={"host": "x"})
    assert unknown.status_code == 400
    assert unknown.json()["host"]


async def test_an_unknown_cluster_is_not_found(batch: tuple[httpx.AsyncClient, Infra]) -> None:
    _, infra = batch
    registry = ClusterRegistry(infra.bus, lambda: datetime.now(UTC))
    with pytest.raises(NotFound):
        await registry.remove("Hades", actor="op", request_id="r")
