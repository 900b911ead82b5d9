"""Logins through Keycloak itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import jwt
import pytest
import pytest_asyncio

from kerma_auth.adapters.keycloak import provider_keys
from kit.identity.keycloak_server import Keycloak, keycloak
from kit.identity.logins import RealmLogins, RealmWorld, realm_world
from kit.identity.provider import CLIENT
from kit.identity.realms import LoginRefusedError
from kit.running.worlds.accounts import replica

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.keycloak,
    pytest.mark.timeout(900),
]


World = RealmWorld[Keycloak]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs = tmp_path_factory.mktemp("blobs")
    with keycloak(tmp_path_factory.mktemp("realm")) as realm:
        async with realm_world(realm, nats_url, postgres_url, blobs) as made:
            yield made


class TestLogins(RealmLogins):
    """What every provider must do."""


async def test_a_direct_grant_opens_a_session_of_the_same_user(world: World) -> None:
    token = await world.realm.granted("plgada", "ada-word", CLIENT)
    entered = await world.auth.enter(token, "plgada")
    tokens = await world.realm.log_in("plgada", "ada-word")
    assert (await world.auth.enter(tokens.access, "plgada")).user_id == entered.user_id


async def test_a_logout_at_both_ends_lets_nobody_back_in(world: World) -> None:
    tokens = await world.realm.log_in("plgada", "ada-word")
    entered = await world.auth.enter(tokens.access, "plgada")
    await world.auth.becomes(200, entered)
    await world.realm.log_out(tokens)
    with pytest.raises(LoginRefusedError):
        await world.realm.refresh(tokens)
    cookies = {"access_token": entered.access, "refresh_token": entered.refresh}
    left = await world.auth.ask("DELETE", "/auth/keycloak", cookies=cookies)
    assert left.status_code == 200
    await world.auth.becomes(403, entered)
    late = await world.auth.exchange(tokens.access, "plgada", cookies=cookies)
    assert (late.status_code, late.json()) == (401, {"message": "No token provided"})


async def test_other_tokens_of_the_realm_are_no_access_tokens(world: World) -> None:
    tokens = await world.realm.log_in("plgada", "ada-word")
    identity = await world.auth.exchange(tokens.identity, "plgada")
    assert (identity.status_code, identity.json()["message"]) == (
        403,
        "Invalid token: it is not an access token",
    )
    assert jwt.get_unverified_header(tokens.refresh)["alg"] == "HS512"
    refresh = await world.auth.exchange(tokens.refresh, "plgada")
    assert (refresh.status_code, refresh.json()["message"]) == (
        403,
        "Invalid token: its algorithm is not accepted",
    )


async def test_a_token_signed_by_an_elliptic_curve_is_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    await world.realm.add_key("ecdsa-generated", ecdsaEllipticCurveKey="P-256")
    tokens = await world.realm.log_in("plgada", "ada-word", "other-ui")
    assert jwt.get_unverified_header(tokens.access)["alg"] == "ES256"
    await world.auth.enter(tokens.access, "plgada")


async def test_keys_are_rotated_and_withdrawn_by_the_administration(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    before = await world.realm.log_in("plgada", "ada-word")
    await world.auth.enter(before.access, "plgada")
    await world.realm.add_key("rsa-generated", 300, algorithm="RS256", keySize="2048")
    after = await world.realm.log_in("plgada", "ada-word")
    assert after.kid != before.kid
    await world.auth.enter(after.access, "plgada")
    await world.auth.enter(before.access, "plgada")
    await world.realm.withdraw(before.kid)
    async with replica(world.auth.infra) as fresh:
        gone = await world.auth.exchange(before.access, "plgada", fresh)
        assert gone.json()["message"] == "Invalid token: the provider has no such key"
        assert (await world.auth.exchange(after.access, "plgada", fresh)).status_code == 202


async def test_a_user_whom_the_realm_disables_gets_no_further_token(world: World) -> None:
    tokens = await world.realm.log_in("plgeve", "eve-word")
    (found,) = await world.realm.admin("GET", "/users?username=plgeve&exact=true")
    await world.realm.admin("PUT", f"/users/{found['id']}", {**found, "enabled": False})
    with pytest.raises(LoginRefusedError):
        await world.realm.refresh(tokens)
    with pytest.raises(LoginRefusedError):
        await world.realm.log_in("plgeve", "eve-word")
