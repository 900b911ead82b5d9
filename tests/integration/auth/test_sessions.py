"""Refresh and logout over HTTP: rotation, reuse, and pages that do both at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import insert, update

from kerma_auth.adapters.session_vault import SESSION
from kerma_auth.domain.session import GRACE
from kerma_common.infra import Infra
from kit.running.worlds.accounts import auth_service, login, register, replica

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_TOKEN = {"message": "No token provided"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    blobs = tmp_path_factory.mktemp("blobs")
    async with auth_service(nats_url, postgres_url, blobs) as found:
        await register(found[0], "ada")
        yield found


async def _opened(client: httpx.AsyncClient) -> dict[str, str]:
    """Log in and return both cookies; the client keeps none."""
    answer = await login(client, "ada")
    assert answer.status_code == 202
    client.cookies.clear()
    return dict(answer.cookies)


async def _ask(client: httpx.AsyncClient, method: str, path: str, **cookies: str) -> httpx.Response:
    written = "; ".join(f"{name}={value}" for name, value in cookies.items())
    answer = await client.request(method, path, headers={"Cookie": written} if written else {})
    client.cookies.clear()
    return answer


async def _refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await _ask(client, "GET", "/auth/refresh", refresh_token=token)


async def _is_in(client: httpx.AsyncClient, access: str) -> bool:
    status = (await _ask(client, "GET", "/auth/status", access_token=access)).status_code
    assert status in {200, 403}
    return status == 200


async def test_a_refresh_replaces_both_tokens_and_keeps_the_end_of_the_session(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = auth
    opened = await login(client, "ada")
    ends = opened.json()["refresh_exp"] / 1000
    refreshed = await client.get("/auth/refresh")
    assert refreshed.status_code == 200
    assert set(refreshed.json()) == {"message", "access_exp"}
    assert refreshed.cookies["refresh_token"] != opened.cookies["refresh_token"]
    (cookie,) = (c for c in client.cookies.jar if c.name == "refresh_token")
    assert cookie.expires == ends
    assert (await client.get("/auth/refresh")).status_code == 200
    assert (await client.get("/auth/status")).json()["username"] == "ada"


async def test_two_tabs_that_refresh_at_once_get_the_same_token_and_both_go_on(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    cookies = await _opened(client)
    async with replica(infra) as other:
        first, second = await asyncio.gather(
            _refresh(client, cookies["refresh_token"]), _refresh(other, cookies["refresh_token"])
        )
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.cookies["refresh_token"] == second.cookies["refresh_token"]
    for tab in (first, second):
        assert await _is_in(client, tab.cookies["access_token"])
    assert (await _refresh(client, first.cookies["refresh_token"])).status_code == 200


@pytest.mark.parametrize("late", [True, False])
async def test_an_old_refresh_token_ends_the_session(
    auth: tuple[httpx.AsyncClient, Infra], *, late: bool
) -> None:
    client, infra = auth
    cookies = await _opened(client)
    last = await _refresh(client, cookies["refresh_token"])
    if late:  # the token that was replaced last, used after the time of grace
        rotated = update(SESSION).values(rotated=datetime.now(UTC) - GRACE - timedelta(seconds=1))
        async with infra.db.begin() as connection:
            await connection.execute(rotated)
    else:  # the token before that one, used at once
        last = await _refresh(client, last.cookies["refresh_token"])
    reused = await _refresh(client, cookies["refresh_token"])
    assert reused.status_code == 403
    assert reused.json()["message"].startswith("Please log in again: ")
    assert not reused.cookies
    after = await _refresh(client, last.cookies["refresh_token"])
    assert (after.status_code, after.json()) == (401, NO_TOKEN)
    for access in (cookies["access_token"], last.cookies["access_token"]):
        assert not await _is_in(client, access)


@pytest.mark.parametrize("kind", ["cookie", "bearer", "refresh cookie", "both of two sessions"])
async def test_a_logout_ends_every_session_that_it_names(
    auth: tuple[httpx.AsyncClient, Infra], kind: str
) -> None:
    client, _ = auth
    cookies, other = await _opened(client), await _opened(client)
    access, refresh = cookies["access_token"], cookies["refresh_token"]
    if kind == "bearer":
        headers = {"Authorization": f"Bearer {access}"}
        answer = await client.delete("/auth/logout", headers=headers)
    elif kind == "cookie":
        answer = await _ask(client, "DELETE", "/auth/logout", access_token=access)
    elif kind == "refresh cookie":
        answer = await _ask(client, "DELETE", "/auth/logout", refresh_token=refresh)
    else:
        two = {"access_token": access, "refresh_token": other["refresh_token"]}
        answer = await _ask(client, "DELETE", "/auth/logout", **two)
    assert answer.status_code == 200
    assert not await _is_in(client, access)
    refused = await _refresh(client, refresh)
    assert (refused.status_code, refused.json()) == (401, NO_TOKEN)
    assert all("Max-Age=0" in cookie for cookie in refused.headers.get_list("set-cookie"))
    assert await _is_in(client, other["access_token"]) is (kind != "both of two sessions")


async def test_a_page_that_logs_out_and_refreshes_at_once_ends_logged_out(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    async with replica(infra) as other:
        for _ in range(10):
            cookies = await _opened(client)
            out, refreshed = await asyncio.gather(
                _ask(client, "DELETE", "/auth/logout", **cookies),
                _ask(other, "GET", "/auth/refresh", **cookies),
            )
            assert (out.status_code, refreshed.status_code in {200, 401}) == (200, True)
            # the refresh may answer last, so that the page keeps its cookies
            kept = {**cookies, **dict(refreshed.cookies)}
            assert not await _is_in(client, kept["access_token"])
            again = await _ask(client, "GET", "/auth/refresh", **kept)
            assert (again.status_code, again.json()) == (401, NO_TOKEN)
            assert (await _ask(client, "DELETE", "/auth/logout", **kept)).status_code == 200


async def test_a_session_of_an_earlier_release_goes_on_and_is_rotated(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    token, now = "opaque-token-of-an-earlier-release", datetime.now(UTC)
    session = {
        "session_id": "0d" * 16,
        "user_id": "u",
        "username": "ada",
        "refresh_hash": hashlib.sha256(token.encode()).digest(),
        "expires": now + timedelta(hours=1),
    }
    async with infra.db.begin() as connection:
        await connection.execute(insert(SESSION).values(**session))
    first = await _refresh(client, token)
    assert first.status_code == 200
    second = await _refresh(client, first.cookies["refresh_token"])
    assert second.status_code == 200
    assert (await _refresh(client, token)).status_code == 403
    assert (await _refresh(client, second.cookies["refresh_token"])).status_code == 401


async def test_a_session_has_an_end_that_refreshing_does_not_move(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    cookies = await _opened(client)
    past = datetime.now(UTC) - timedelta(seconds=1)
    async with infra.db.begin() as connection:
        await connection.execute(update(SESSION).values(expires=past))
    over = await _refresh(client, cookies["refresh_token"])
    assert over.status_code == 403
    assert over.json()["message"].startswith("Please log in again: ")


@pytest.mark.parametrize(
    ("proxies", "setting", "secure"),
    [
        ("", None, True),
        ("192.0.2.0/24", None, True),
        ("", "true", True),
        ("192.0.2.0/24", "false", False),
    ],
)
async def test_cookies_are_secure_where_a_proxy_says_that_the_page_is(
    auth: tuple[httpx.AsyncClient, Infra],
    monkeypatch: pytest.MonkeyPatch,
    proxies: str,
    setting: str | None,
    secure: bool,
) -> None:
    if setting:
        monkeypatch.setenv("KERMA_AUTH_SECURE_COOKIES", setting)
    monkeypatch.setenv("KERMA_HTTP_TRUSTED_PROXIES", proxies)
    async with replica(auth[1], "192.0.2.1") as client:
        client.headers["X-Forwarded-Proto"] = "https"
        answers = [await login(client, "ada")]
        headers = {"Cookie": f"refresh_token={answers[0].cookies['refresh_token']}"}
        client.cookies.clear()
        answers.append(await client.get("/auth/refresh", headers=headers))
        answers.append(await client.delete("/auth/logout", headers=headers))
    cookies = [cookie for answer in answers for cookie in answer.headers.get_list("set-cookie")]
    assert len(cookies) == 6
    assert {"; Secure" in cookie for cookie in cookies} == {secure}


@pytest.mark.parametrize("token", ["x", "a.b.c", "0" * 32 + ".0." + "A" * 43, "\u00e9"])
async def test_what_is_no_refresh_token_is_refused(
    auth: tuple[httpx.AsyncClient, Infra], token: str
) -> None:
    client, _ = auth
    headers = {b"Cookie": f"refresh_token={token}".encode()}
    assert (await client.get("/auth/refresh", headers=headers)).status_code == 403
    assert (await client.delete("/auth/logout", headers=headers)).status_code == 200
