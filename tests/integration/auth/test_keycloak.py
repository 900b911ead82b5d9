"""Logins of people whom a provider vouches for: sessions, keys, accounts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import func, select

from kerma_auth.adapters.keycloak import provider_keys
from kerma_auth.adapters.session_vault import SESSION
from kerma_auth.adapters.vault import CREDENTIAL
from kerma_auth.domain.session import SESSION_LIFE
from kerma_auth.domain.user import SYSTEM, USER
from kerma_auth.main import handlers_of
from kerma_common.contracts.events.auth import AccountEnabled
from kerma_common.contracts.events.jobs import OwnerJobsDeleted
from kerma_common.contracts.subjects import (
    account_subject,
    owner_subject,
    session_subject,
    user_subject,
)
from kit.identity.federation import Federation, federation
from kit.identity.provider import Provider, ec_key, provider
from kit.running.worlds.accounts import login, register, replica
from kit.running.worlds.jobs_world import append

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_TOKEN = {"message": "No token provided"}
NOT_AVAILABLE = {"message": "Service is not available"}


@dataclass
class World:
    """A realm, and services that trust it."""

    realm: Provider
    auth: Federation


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs = tmp_path_factory.mktemp("blobs")
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    async with provider() as realm, federation(realm.issuer, stored) as auth:
        yield World(realm, auth)


async def test_a_token_is_exchanged_for_a_session_like_any_other(world: World) -> None:
    token = world.realm.token("plgada")
    before = time.time()
    entered = await world.auth.enter(token, "plgada")
    body = entered.answer.json()
    assert set(body) == {"message", "access_exp", "refresh_exp"}
    assert before + 590 < body["access_exp"] / 1000 < time.time() + 601
    assert body["refresh_exp"] / 1000 < time.time() + SESSION_LIFE.total_seconds() + 1
    for cookie in entered.answer.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
    status = (await world.auth.status(entered)).json()
    assert (status["username"], status["source"]) == ("plgada", "keycloak")
    await world.auth.becomes(200, entered)
    refreshed = await world.auth.refreshed(entered.refresh)
    assert (refreshed.status_code, set(refreshed.json())) == (200, {"message", "access_exp"})


async def test_a_token_is_taken_without_the_word_before_it(world: World) -> None:
    headers = {"Authorization": world.realm.token("plgada")}
    body = {"username": "plgada", "further": "keys are ignored"}
    answer = await world.auth.ask("POST", "/auth/keycloak", body, headers)
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "header", "status", "message"),
    [
        ({}, "Bearer x", 400, "No JSON in body"),
        ({"name": "plgada"}, "Bearer x", 400, "Missing keys in JSON payload: username"),
        ({"username": 5}, "Bearer x", 400, "Wrong data provided: username: Must be a string."),
        ([], "Bearer x", 400, None),
        ({"username": "plgada"}, "", 401, "No token provided"),
        ({"username": "plgada"}, "Bearer ", 401, "No token provided"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(
    world: World, body: object, header: str, status: int, message: str | None
) -> None:
    answer = await world.auth.ask("POST", "/auth/keycloak", body, {"Authorization": header})
    assert answer.status_code == status
    assert message in (None, answer.json()["message"])
    assert not answer.cookies


async def test_a_page_that_exchanges_its_token_again_keeps_its_session(world: World) -> None:
    first = await world.auth.enter(world.realm.token("plgbob"), "plgbob")
    async with world.auth.infra.db.begin() as connection:
        past = SESSION.c.expires - SESSION_LIFE / 2
        await connection.execute(
            SESSION.update().where(SESSION.c.session_id == first.claims["sid"]).values(expires=past)
        )
    again = await world.auth.enter(
        world.realm.token("plgbob"), "plgbob", cookies={"refresh_token": first.refresh}
    )
    assert again.claims["sid"] == first.claims["sid"]
    assert again.answer.json()["refresh_exp"] >= first.answer.json()["refresh_exp"]
    # both tabs of the browser go on
    for refresh in (first.refresh, again.refresh):
        assert (await world.auth.refreshed(refresh)).status_code == 200
    # a session of somebody else in the browser does not
    other = await world.auth.enter(
        world.realm.token("plgeve"), "plgeve", cookies={"refresh_token": again.refresh}
    )
    assert other.claims["sid"] != first.claims["sid"]
    assert (await world.auth.status(other)).json()["username"] == "plgeve"


@pytest.mark.parametrize("path", ["/auth/keycloak", "/auth/logout"])
async def test_leaving_ends_the_session_everywhere(world: World, path: str) -> None:
    entered = await world.auth.enter(world.realm.token("plgada"), "plgada")
    await world.auth.becomes(200, entered)
    left = await world.auth.ask("DELETE", path, cookies={"refresh_token": entered.refresh})
    assert left.status_code == 200
    assert all("Max-Age=0" in cookie for cookie in left.headers.get_list("set-cookie"))
    await world.auth.becomes(403, entered)
    assert (await world.auth.refreshed(entered.refresh)).json() == NO_TOKEN
    assert (await world.auth.ask("DELETE", path)).status_code == 200


async def test_a_page_that_leaves_and_exchanges_at_once_ends_logged_out(world: World) -> None:
    async with replica(world.auth.infra) as other:
        for _ in range(5):
            token = world.realm.token("plgada")
            entered = await world.auth.enter(token, "plgada")
            cookies = {"access_token": entered.access, "refresh_token": entered.refresh}
            left, exchanged = await asyncio.gather(
                world.auth.ask("DELETE", "/auth/logout", cookies=cookies),
                world.auth.exchange(token, "plgada", other, cookies=cookies),
            )
            assert left.status_code == 200
            assert exchanged.status_code in {202, 401}
            kept = {**cookies, **dict(exchanged.cookies)}
            status = await world.auth.ask(
                "GET", "/auth/status", cookies={"access_token": kept["access_token"]}
            )
            assert status.status_code in {401, 403}
            again = await world.auth.exchange(token, "plgada", cookies=kept)
            assert (again.status_code, again.json()) == (401, NO_TOKEN)


async def test_a_name_may_exist_here_and_at_the_provider(world: World) -> None:
    entered = await world.auth.enter(world.realm.token("both"), "both")
    await register(world.auth.auth, "both")
    native = await login(world.auth.auth, "both")
    assert native.status_code == 202
    world.auth.auth.cookies.clear()
    token = native.cookies["access_token"]
    status = await world.auth.ask("GET", "/auth/status", cookies={"access_token": token})
    assert (status.json()["username"], status.json()["source"]) == ("both", "native")
    again = await world.auth.enter(world.realm.token("both"), "both")
    assert again.user_id == entered.user_id
    found = select(func.count()).where(CREDENTIAL.c.username == "both")
    async with world.auth.infra.db.connect() as connection:
        assert await connection.scalar(found) == 2


async def test_first_logins_at_once_make_one_user(world: World) -> None:
    token = world.realm.token("plgnew")
    entered = await asyncio.gather(*(world.auth.enter(token, "plgnew") for _ in range(6)))
    assert len({one.user_id for one in entered}) == 1
    for one in entered:
        assert (await world.auth.status(one)).status_code == 200
    found = select(func.count()).where(CREDENTIAL.c.username == "plgnew")
    async with world.auth.infra.db.connect() as connection:
        assert await connection.scalar(found) == 1


async def test_a_disabled_account_is_out_everywhere_until_it_is_enabled(world: World) -> None:
    entered = await world.auth.enter(world.realm.token("plgbart"), "plgbart")
    await world.auth.becomes(200, entered)
    administration = handlers_of(world.auth.infra).administration
    await administration.disable(entered.user_id, SYSTEM, "out")
    await world.auth.becomes(403, entered)
    refused = await world.auth.exchange(world.realm.token("plgbart"), "plgbart")
    assert (refused.status_code, refused.json()["message"]) == (403, "This account is disabled")
    await administration.enable(entered.user_id, SYSTEM, "in")
    # what was open then stays void
    assert (await world.auth.refreshed(entered.refresh)).status_code == 401
    assert (await world.auth.status(entered)).status_code == 403
    await world.auth.enter(world.realm.token("plgbart"), "plgbart")


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_removed_user_comes_back_as_somebody_new_once_the_jobs_are_deleted(
    world: World, interrupted: bool
) -> None:
    infra, name = world.auth.infra, f"plgzoe{interrupted:d}"
    entered = await world.auth.enter(world.realm.token(name), name)
    removals = handlers_of(infra).removals
    await removals.start(entered.user_id, SYSTEM, "admin", "gone")
    await world.auth.becomes(403, entered)
    refused = await world.auth.exchange(world.realm.token(name), name)
    assert (refused.status_code, refused.json()["message"]) == (403, "This account is disabled")
    user, _ = await infra.bus.state(USER, user_subject(entered.user_id))
    event = OwnerJobsDeleted(user_id=entered.user_id, removal=user.leaving)
    await append(infra, owner_subject(entered.user_id), event)
    if interrupted:  # a former release, after its first commit
        enabled = AccountEnabled(user_id=entered.user_id)
        await append(infra, account_subject(entered.user_id), enabled)
    again = await world.auth.enter(world.realm.token(name), name)
    await world.auth.becomes(200, again)
    await world.auth.becomes(403, entered)
    user, _ = await infra.bus.state(USER, user_subject(entered.user_id))
    assert (user.registered, user.leaving, user.source) == (True, "", "keycloak")


async def test_a_session_that_was_just_prolonged_is_ended_by_its_id_too(world: World) -> None:
    """A token could be issued while the revocation is being stored."""
    first = await world.auth.enter(world.realm.token("plgpro"), "plgpro")
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    async with world.auth.infra.db.begin() as connection:
        own = SESSION.c.session_id == first.claims["sid"]
        await connection.execute(SESSION.update().where(own).values(rotated=long_ago))
    cookies = {"refresh_token": first.refresh}
    again = await world.auth.enter(world.realm.token("plgpro"), "plgpro", cookies)
    assert again.claims["sid"] == first.claims["sid"]
    await handlers_of(world.auth.infra).administration.disable(first.user_id, SYSTEM, "pro")
    subject = str(session_subject(first.user_id, first.claims["sid"]))
    ended = await world.auth.infra.log.history("AUTH", subject)
    assert len(ended) == 1


async def test_roles_count_and_passwords_do_not_exist(world: World) -> None:
    entered = await world.auth.enter(world.realm.token("plgops"), "plgops")
    administration = handlers_of(world.auth.infra).administration
    seq = await administration.grant(entered.user_id, "operator", SYSTEM, "grant")
    assert await administration.settled(seq)  # the list of users shows it
    entered = await world.auth.enter(world.realm.token("plgops"), "plgops")
    page = await world.auth.ask(
        "GET", "/v1/users?limit=1000", cookies={"access_token": entered.access}
    )
    (own,) = (user for user in page.json()["items"] if user["id"] == entered.user_id)
    assert (own["source"], own["username"], own["roles"]) == ("keycloak", "plgops", ["operator"])
    victim = await world.auth.enter(world.realm.token("plgvictim"), "plgvictim")
    for answer in (
        await world.auth.ask(
            "POST",
            f"/v1/users/{victim.user_id}/password-reset",
            {},
            cookies={"access_token": entered.access},
        ),
        await world.auth.ask(
            "PUT",
            "/v1/users/me/password",
            {"old_password": "", "new_password": "an other word"},
            cookies={"access_token": victim.access},
        ),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "NO_PASSWORD")
    assert (await login(world.auth.auth, "plgvictim", "x")).status_code == 401
    created = await world.auth.ask(
        "POST", "/v1/tokens", {"label": "nightly"}, cookies={"access_token": victim.access}
    )
    headers = {"Authorization": f"Bearer {created.json()['token']}"}
    status = await world.auth.ask("GET", "/auth/status", headers=headers)
    assert status.json()["source"] == "keycloak"


async def test_keys_are_cached_and_a_rotated_one_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(world.auth.infra) as fresh:
        before = len(world.realm.certs.asked)
        for _ in range(5):
            await _in(world, fresh)
        assert len(world.realm.certs.asked) == before + 1
        monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
        world.realm.rotate("second", ec_key())
        await _in(world, fresh)
        assert len(world.realm.certs.asked) == before + 2
        # a former key that is still published is accepted
        await _in(world, fresh, kid="first")
        assert len(world.realm.certs.asked) == before + 2


async def test_without_the_provider_known_keys_count_and_others_do_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "PAUSE_SECONDS", 0.0)
    async with replica(world.auth.infra) as fresh:
        await _in(world, fresh)
        monkeypatch.setattr(provider_keys, "FRESH_SECONDS", 0.0)
        monkeypatch.setattr(world.realm.certs, "status", 500)
        await _in(world, fresh)
        token = world.realm.token("plgada", key=ec_key(), kid="unknown")
        answer = await world.auth.exchange(token, "plgada", fresh)
        assert (answer.status_code, answer.json()) == (403, NOT_AVAILABLE)


async def _in(world: World, client: httpx.AsyncClient, **changed: Any) -> None:
    answer = await world.auth.exchange(world.realm.token("plgada", **changed), "plgada", client)
    assert answer.status_code == 202, answer.text


async def test_without_a_provider_the_service_is_not_available(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = world.realm.token("plgada")
    monkeypatch.delenv("KERMA_AUTH_KEYCLOAK_ISSUER")
    async with replica(world.auth.infra) as without:
        answer = await world.auth.exchange(token, "plgada", without)
        assert (answer.status_code, answer.json()) == (403, NOT_AVAILABLE)
        assert (await without.delete("/auth/keycloak")).status_code == 200
