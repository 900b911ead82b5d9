"""Logins through an independent, certified OpenID Connect provider: oidc-provider on Node."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kerma_auth.adapters.keycloak import provider_keys
from kit.identity.logins import RealmLogins, RealmWorld, realm_world
from kit.identity.node_realm import NodeRealm, node_realm
from kit.running.worlds.accounts import replica

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.oidc]


World = RealmWorld[NodeRealm]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs = tmp_path_factory.mktemp("blobs")
    with node_realm(tmp_path_factory.mktemp("realm")) as realm:
        async with realm_world(realm, nats_url, postgres_url, blobs) as made:
            yield made


class TestLogins(RealmLogins):
    """What every provider must do."""


async def test_a_rotated_key_is_found_and_the_former_one_still_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    before = await world.realm.log_in("plgada", "ada-word")
    await world.auth.enter(before.access, "plgada")
    kid = await world.realm.rotate()
    after = await world.realm.log_in("plgada", "ada-word")
    assert (after.kid, before.kid == kid) == (kid, False)
    await world.auth.enter(after.access, "plgada")
    await world.auth.enter(before.access, "plgada")


async def test_other_tokens_of_the_realm_are_no_access_tokens(world: World) -> None:
    tokens = await world.realm.log_in("plgada", "ada-word")
    for other in (tokens.identity, tokens.refresh):
        answer = await world.auth.exchange(other, "plgada")
        assert answer.status_code == 403
        assert answer.json()["message"].startswith("Invalid token: ")


async def test_another_realm_of_the_same_shape_is_not_trusted(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with node_realm(tmp_path_factory.mktemp("foreign")) as foreign:
        tokens = await foreign.log_in("plgada", "ada-word")
        async with replica(world.auth.infra) as fresh:
            answer = await world.auth.exchange(tokens.access, "plgada", fresh)
    assert (answer.status_code, answer.json()["message"]) == (
        403,
        "Invalid token: the provider has no such key",
    )
