"""Signing keys are replaced while people are logged in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select

from kerma_auth.adapters.vault import PRIVATE_KEY
from kerma_auth.app import keys as app_keys
from kerma_auth.app.keys import Keys
from kerma_auth.main import handlers_of
from kerma_common.errors import DomainRejected
from kerma_common.infra import Infra
from kerma_common.security.tokens import ACCESS_LIFE, key_id_of
from kit.programs.family import PATIENCE
from kit.running.worlds.accounts import auth_and_another, login, register, replica
from kit.running.worlds.services import MASTER_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVERYWHERE_SECONDS = 1.0
LIFE = timedelta(days=30)


@dataclass
class World:
    """Auth, and another service that knows AUTH by its own follower only."""

    auth: httpx.AsyncClient
    other: httpx.AsyncClient
    infra: Infra

    async def enter(self) -> tuple[str, str]:
        """Log in; return the access and the refresh token."""
        answer = await login(self.auth, "ada")
        self.auth.cookies.clear()
        return answer.cookies["access_token"], answer.cookies["refresh_token"]

    async def elsewhere(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await self.other.get("/clusters", headers=headers)).status_code

    async def becomes(self, status: int, token: str) -> None:
        async with asyncio.timeout(EVERYWHERE_SECONDS):
            while await self.elsewhere(token) != status:
                await asyncio.sleep(0.01)

    def keys(self, clock: Callable[[], datetime] | None = None) -> Keys:
        made = handlers_of(self.infra).keys
        return Keys(made.bus, made.vault, clock or made.clock, LIFE)

    async def private(self) -> set[str]:
        async with self.infra.db.connect() as connection:
            return set(await connection.scalars(select(PRIVATE_KEY.c.kid)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs: Path = tmp_path_factory.mktemp("blobs")
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        patch.setattr(app_keys, "LEAD", timedelta(seconds=0.5))
        async with auth_and_another(**stored) as (client, infra, far):
            await register(client, "ada")
            yield World(client, far, infra)


async def test_a_rotation_logs_nobody_out(world: World) -> None:
    before, _ = await world.enter()
    await world.keys().rotate("admin")
    async with asyncio.timeout(PATIENCE), replica(world.infra) as other:
        world_of_replica = World(other, world.other, world.infra)
        while key_id_of((after := await world_of_replica.enter())[0]) == key_id_of(before):
            await asyncio.sleep(0.05)
    # every process knew the key before its first token, and accepts the former one's
    assert await world.elsewhere(after[0]) == 200
    assert await world.elsewhere(before) == 200
    newest = (await world.keys().keyring()).newest
    assert newest is not None
    assert newest.kid == key_id_of(after[0]) == key_id_of((await world.enter())[0])


async def test_a_rotation_at_once_voids_every_token_and_sessions_go_on(world: World) -> None:
    access, refresh = await world.enter()
    await world.becomes(200, access)
    await world.keys().rotate("admin", at_once=True)
    await world.becomes(403, access)
    headers = {"Cookie": f"refresh_token={refresh}"}
    refreshed = await world.auth.get("/auth/refresh", headers=headers)
    world.auth.cookies.clear()
    assert refreshed.status_code == 200
    await world.becomes(200, refreshed.cookies["access_token"])


async def test_of_replicas_that_rotate_at_once_one_does(world: World) -> None:
    before, keyring = await world.private(), await world.keys().keyring()
    outcomes = await asyncio.gather(
        *(world.keys().rotate("svc:auth") for _ in range(4)), return_exceptions=True
    )
    assert sorted(isinstance(outcome, DomainRejected) for outcome in outcomes) == [
        False,
        True,
        True,
        True,
    ]
    assert len((await world.keys().keyring()).keys) == len(keyring.keys) + 1
    assert len(await world.private()) == len(before) + 1


async def test_a_key_is_replaced_when_it_is_old_and_its_private_half_deleted(world: World) -> None:
    now = datetime.now(UTC)
    old = (await world.keys().keyring()).newest
    assert old is not None
    await world.keys(lambda: now + LIFE - timedelta(minutes=1)).tend()
    assert (await world.keys().keyring()).newest == old
    later = now + LIFE + timedelta(minutes=1)
    await world.keys(lambda: later).tend()
    keyring = await world.keys().keyring()
    assert keyring.newest is not None
    assert keyring.newest.kid != old.kid
    (retired,) = (key for key in keyring.keys if key.kid == old.kid)
    assert retired.not_after is not None
    assert retired.not_after > later + ACCESS_LIFE
    assert {old.kid, keyring.newest.kid} <= await world.private()
    await world.keys(lambda: later + timedelta(minutes=1)).tend()
    assert await world.private() == {keyring.newest.kid}
    assert (await world.keys().keyring()).newest == keyring.newest
