"""Row 3.7, with what 2.5 says of it: sessions of people whom a provider vouches for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from kit.identity.provider import Provider, rsa_key
from kit.running.clients.browsers import browser, exchange
from kit.running.whole import Whole


@pytest.fixture
def page(kerma: Whole) -> Iterator[httpx.Client]:
    """A browser without cookies."""
    with browser(kerma) as client:
        yield client


def test_keycloak_exchange_opens_a_session(page: httpx.Client, realm: Provider) -> None:
    before = time.time() * 1000
    answer = exchange(page, realm.token("plgbob"), "plgbob")
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"message", "access_exp", "refresh_exp"}
    assert type(answer.json()["access_exp"]) is int
    assert before < answer.json()["access_exp"] < before + 31 * 60_000
    assert page.get("/auth/status").json()["username"] == "plgbob"
    assert page.get("/user/simulations").json()["simulations"] == []


@pytest.mark.parametrize("body", [{}, {"name": "plgbob"}])
def test_keycloak_without_a_username(
    page: httpx.Client, realm: Provider, body: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {realm.token('plgbob')}"}
    answer = page.post("/auth/keycloak", json=body, headers=headers)
    assert answer.status_code == 400
    assert ("username" in answer.json()["message"]) == bool(body)


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}])
def test_keycloak_without_a_token(page: httpx.Client, headers: dict[str, str]) -> None:
    answer = page.post("/auth/keycloak", json={"username": "plgbob"}, headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"message": "No token provided"})


def test_keycloak_bare_token(page: httpx.Client, realm: Provider) -> None:
    headers = {"Authorization": realm.token("plgbob")}
    answer = page.post("/auth/keycloak", json={"username": "plgbob"}, headers=headers)
    assert answer.status_code == 202, answer.text


def test_keycloak_without_the_access_service(page: httpx.Client, realm: Provider) -> None:
    token = realm.token("plgbob", plgridAccessServices=["PLG_OTHER"])
    answer = exchange(page, token, "plgbob")
    assert answer.status_code == 403
    assert answer.json() == {"message": "User plgbob has no access to our service"}
    assert not page.cookies


def test_keycloak_expired_token(page: httpx.Client, realm: Provider) -> None:
    then = int(time.time()) - 3600
    answer = exchange(page, realm.token("plgbob", iat=then - 300, exp=then), "plgbob")
    assert answer.status_code == 403
    assert "expired" in answer.json()["message"].lower()


def test_keycloak_bad_signature(page: httpx.Client, realm: Provider) -> None:
    """The signature is looked at before any claim: YAPTIDE reads the claim first."""
    forged = realm.token("plgbob", key=rsa_key(), plgridAccessServices=[])
    answer = exchange(page, forged, "plgbob")
    assert answer.status_code == 403
    assert "access to our service" not in answer.json()["message"]
    assert not page.cookies


def test_keycloak_unknown_kid(page: httpx.Client, realm: Provider) -> None:
    """YAPTIDE answers 500."""
    answer = exchange(page, realm.token("plgbob", key=rsa_key(), kid="nobody's"), "plgbob")
    assert answer.status_code == 403
    assert answer.json()["message"]


def test_keycloak_foreign_audience(page: httpx.Client, realm: Provider) -> None:
    """YAPTIDE compares the audience with itself."""
    token = realm.token("plgbob", aud="another-application", azp="another-application")
    assert exchange(page, token, "plgbob").status_code == 403
    assert not page.cookies


def test_keycloak_foreign_issuer(page: httpx.Client, realm: Provider) -> None:
    """YAPTIDE looks at no issuer."""
    token = realm.token("plgbob", iss="https://sso.example/auth/realms/plg")
    assert exchange(page, token, "plgbob").status_code == 403
    assert not page.cookies


def test_keycloak_username_of_the_token(
    page: httpx.Client, realm: Provider, plgada: httpx.Client
) -> None:
    """YAPTIDE opens a session of whomever the body names."""
    answer = exchange(page, realm.token("plgmallory"), "plgada")
    assert answer.status_code == 403
    assert not page.cookies
    assert plgada.get("/auth/status").json()["username"] == "plgada"


def test_keycloak_cookies(page: httpx.Client, realm: Provider) -> None:
    """A refresh cookie comes too, which YAPTIDE does not give these users."""
    answer = exchange(page, realm.token("plgbob"), "plgbob")
    cookies = answer.headers.get_list("set-cookie")
    assert {c.partition("=")[0] for c in cookies} == {"access_token", "refresh_token"}
    for cookie in cookies:
        flags = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "path=/", "samesite=lax"} <= flags
    assert page.get("/auth/refresh").status_code == 200


def test_keycloak_delete_without_a_session(page: httpx.Client) -> None:
    answer = page.delete("/auth/keycloak")
    assert (answer.status_code, set(answer.json())) == (200, {"message"})


def test_keycloak_delete_ends_the_session(page: httpx.Client, realm: Provider) -> None:
    exchange(page, realm.token("plgbob"), "plgbob")
    kept = dict(page.cookies)
    answer = page.delete("/auth/keycloak")
    assert answer.status_code == 200
    cleared = [c for c in answer.headers.get_list("set-cookie") if "max-age=0" in c.lower()]
    assert "access_token" in {c.partition("=")[0] for c in cleared}
    page.cookies.update(kept)
    assert page.get("/auth/status").status_code == 403
