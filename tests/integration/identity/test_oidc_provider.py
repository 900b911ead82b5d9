"""Logins through an independent, certified OpenID Connect provider: oidc-provider on Node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from kerma_auth.adapters.keycloak import provider_keys
from kit.identity.federation import Federation, federation
from kit.identity.node_realm import NodeRealm, node_realm
from kit.identity.realms import LoginRefusedError
from kit.running.worlds.accounts import replica

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.oidc]


@dataclass
class World:
    """A realm, and services that trust it."""

    realm: NodeRealm
    auth: Federation


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs = tmp_path_factory.mktemp("blobs")
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    with node_realm(tmp_path_factory.mktemp("realm")) as realm:
        async with federation(realm.issuer, stored) as auth:
            yield World(realm, auth)


async def test_a_login_by_code_and_pkce_opens_a_session(world: World) -> None:
    tokens = await world.realm.log_in("plgada", "ada-word")
    entered = await world.auth.enter(tokens.access, "plgada")
    status = (await world.auth.status(entered)).json()
    assert (status["username"], status["source"]) == ("plgada", "keycloak")
    await world.auth.becomes(200, entered)


async def test_a_wrong_password_gets_no_token(world: World) -> None:
    with pytest.raises(LoginRefusedError, match="401"):
        await world.realm.log_in("plgada", "eve-word")


async def test_a_refreshed_token_prolongs_the_session(world: World) -> None:
    tokens = await world.realm.log_in("plgada", "ada-word")
    entered = await world.auth.enter(tokens.access, "plgada")
    refreshed = await world.realm.refresh(tokens)
    assert refreshed.access != tokens.access
    cookies = {"refresh_token": entered.refresh}
    again = await world.auth.enter(refreshed.access, "plgada", cookies)
    assert again.claims["sid"] == entered.claims["sid"]


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


@pytest.mark.parametrize(("name", "word"), [("plgbob", "bob-word"), ("plgcarl", "carl-word")])
async def test_a_user_without_access_stays_out(world: World, name: str, word: str) -> None:
    tokens = await world.realm.log_in(name, word)
    answer = await world.auth.exchange(tokens.access, name)
    assert answer.status_code == 403
    assert answer.json()["message"] == f"User {name} has no access to our service"


async def test_a_token_for_another_application_is_refused(world: World) -> None:
    tokens = await world.realm.log_in("plgada", "ada-word", "some-other-app")
    answer = await world.auth.exchange(tokens.access, "plgada")
    assert answer.status_code == 403
    assert "another application" in answer.json()["message"]


async def test_impersonation_by_the_body_is_refused(world: World) -> None:
    tokens = await world.realm.log_in("plgeve", "eve-word")
    answer = await world.auth.exchange(tokens.access, "plgada")
    assert (answer.status_code, answer.json()["message"]) == (
        403,
        "The token is not that of this user",
    )


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
