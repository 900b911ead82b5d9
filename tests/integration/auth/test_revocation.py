"""Ended sessions in another service, which knows AUTH by its own follower only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from kerma_allinone.children import NatsChild
from kerma_batch_gateway.main import build as build_batch
from kerma_common.security import follower, identity
from kit.programs.family import PATIENCE
from kit.running.servers import standing_still
from kit.running.worlds.accounts import auth_and_another
from kit.running.worlds.services import MASTER_KEY, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVERYWHERE_SECONDS = 1.0
"""Within this time, a logout is effective in every process."""


@dataclass
class Pair:
    """Clients of auth and of another service, and where both are stored."""

    auth: httpx.AsyncClient
    other: httpx.AsyncClient
    stored: dict[str, Any]

    async def login(self, name: str) -> dict[str, str]:
        """Register a user and open a session; return its cookie as a header."""
        body = {"username": name, "password": "s3cret-word"}
        self.auth.cookies.clear()
        assert (await self.auth.put("/auth/register", json=body)).status_code == 201
        answer = await self.auth.post("/auth/login", json=body)
        assert answer.status_code == 202
        return {"Cookie": f"access_token={answer.cookies['access_token']}"}

    async def ask(self, headers: dict[str, str]) -> int:
        return (await self.other.get("/clusters", headers=headers)).status_code

    async def becomes(self, status: int, headers: dict[str, str], within: float) -> None:
        """Ask until the other service answers with ``status``."""
        async with asyncio.timeout(within):
            while await self.ask(headers) != status:
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    blobs: Path = tmp_path_factory.mktemp("blobs")
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        patch.setattr(follower, "LOOK_SECONDS", 0.2)
        patch.setattr(identity, "STALE_SECONDS", 1.5)
        async with auth_and_another(**stored) as (client, _, far):
            yield Pair(client, far, stored)


async def test_a_logout_is_effective_everywhere(pair: Pair) -> None:
    session = await pair.login("ada")
    await pair.becomes(200, session, PATIENCE)
    assert (await pair.auth.delete("/auth/logout", headers=session)).status_code == 200
    # auth itself refuses the token from the answer on
    assert (await pair.auth.get("/auth/status", headers=session)).status_code == 403
    await pair.becomes(403, session, EVERYWHERE_SECONDS)


async def test_a_process_that_starts_later_knows_keys_and_ended_sessions(pair: Pair) -> None:
    over, alive = await pair.login("bob"), await pair.login("carol")
    assert (await pair.auth.delete("/auth/logout", headers=over)).status_code == 200
    async with running("batch", "kerma_batch_gateway", build_batch, **pair.stored) as (late, _):
        assert (await late.get("/clusters", headers=over)).status_code == 403
        assert (await late.get("/clusters", headers=alive)).status_code == 200


async def test_a_process_that_cannot_see_the_end_of_auth_refuses_every_token(
    pair: Pair, nats_child: NatsChild
) -> None:
    session = await pair.login("grace")
    await pair.becomes(200, session, PATIENCE)
    with standing_still(nats_child):
        await pair.becomes(503, session, PATIENCE)
        ready = await pair.other.get("/internal/readyz")
        assert (ready.status_code, "sessions" in ready.json()["faults"]) == (503, True)
    await pair.becomes(200, session, PATIENCE)
