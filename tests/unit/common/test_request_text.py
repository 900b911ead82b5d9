"""Text of requests: one place refuses what no client needs, and names the field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Body
from starlette.responses import Response

from kerma_common.errors import InvalidRequest, Unauthenticated
from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.body.json_body import LARGE, more_values_than, parse
from kerma_common.http.policy import Principal, public
from kerma_common.http.route import KermaRoute
from kerma_common.security.tokens import (
    CLOCK_SKEW,
    SigningKey,
    issue,
    key_id_of,
    public_key,
    verify,
)
from kerma_common.settings import HttpSettings

KEY = SigningKey("k1", Ed25519PrivateKey.generate())
PUBLIC = public_key(KEY.public_jwk)


async def _verify(token: str) -> Principal:
    raise AssertionError(token)


async def _ask(method: str, target: bytes, **how: Any) -> httpx.Response:
    router = APIRouter(route_class=KermaRoute)

    @router.get("/jobs")
    @public()
    async def jobs(job_id: str) -> Response:
        return answer("fine", job_id=job_id)

    @router.get("/things/{name}")
    @public()
    async def thing(name: str) -> Response:
        return answer("fine", name=name)

    @router.post("/jobs")
    @public()
    async def submit(body: Annotated[dict[str, Any], Body()]) -> Response:
        return answer("fine")

    async def health() -> dict[str, str]:
        return {}

    app = create_app(
        "t", verifier=_verify, health=health, settings=HttpSettings(), routers=[router]
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        url = httpx.URL("http://t").copy_with(raw_path=target)
        return await client.request(method, url, **how)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (b"/jobs?job_id=a%00b", "job_id"),
        (b"/jobs?job_id=a%0ab", "job_id"),
        (b"/jobs?job_id=a%1b%5b2J", "job_id"),
        (b"/jobs?job_id=a%7f", "job_id"),
        (b"/jobs?job_id=%c2%9b2J", "job_id"),
        (b"/jobs?job_id=%e2%80%a8", "job_id"),
        (b"/jobs?job_id=%ff", "job_id"),
        (b"/jobs?job_id=%c0%80", "job_id"),
        (b"/jobs?job_id=%ed%a0%80", "job_id"),
        (b"/jobs?job%00=1", "query"),
        (b"/jobs?" + b"&".join([b"a=1"] * 65), "query"),
        (b"/jobs?job_id=" + b"a" * 8192, "query"),
        (b"/things/a%00", "path"),
        (b"/things/%ff", "path"),
        (b"/things/a%2fb", "path"),
        (b"/things/%2e%2e", "path"),
        (b"/things/" + b"a" * 2048, "path"),
        (b"/nothing/%00", "path"),
    ],
)
async def test_targets(target: bytes, field: str) -> None:
    reply = await _ask("GET", target)
    assert reply.status_code == 400
    assert set(reply.json()) == {"message", field}


async def test_plain_text_of_any_language_passes() -> None:
    reply = await _ask("GET", b"/jobs?job_id=%C5%BC+%F0%9F%98%80")
    assert (reply.status_code, reply.json()["job_id"]) == (200, "ż 😀")
    assert (await _ask("GET", b"/things/a%20b:c")).json()["name"] == "a b:c"


async def test_headers() -> None:
    reply = await _ask("GET", b"/jobs?job_id=a", headers={"X-Thing": "a\x1b[2J"})
    assert (reply.status_code, set(reply.json())) == (400, {"message", "x-thing"})
    reply = await _ask("GET", b"/jobs?job_id=a", headers={"X-Thing": "tab\tż".encode()})
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (rb'{"title": "a\u0000"}', "title"),
        (rb'{"files": {"beam.dat": "x\u0000"}}', "files.beam.dat"),
        (rb'{"list": ["a", ["\u0000"]]}', "list.1.0"),
        (rb'{"a\u0000": 1}', "a\ufffd"),
    ],
)
async def test_no_string_of_a_body_holds_nul(body: bytes, field: str) -> None:
    reply = await _ask("POST", b"/jobs", content=body)
    assert reply.status_code == 400
    assert reply.json()[field] == ["Must not contain NUL characters."]


async def test_a_backslash_before_u0000_is_text() -> None:
    assert (await _ask("POST", b"/jobs", content=rb'{"a": "\\u0000"}')).status_code == 200


async def test_lone_surrogates_are_no_json() -> None:
    assert (await _ask("POST", b"/jobs", content=rb'{"a": "\ud800"}')).status_code == 400


def test_bodies_of_very_many_values_are_refused() -> None:
    body = b'{"a":[' + b"[]," * 600_000 + b"[]]}"
    with pytest.raises(InvalidRequest, match="values"):
        parse(body, 64)


async def test_bodies_that_would_hold_up_the_event_loop_are_refused() -> None:
    def body(size: int) -> bytes:
        return b'{"a":"' + b"x" * (size - 8) + b'"}'

    assert (await _ask("POST", b"/jobs", content=body(LARGE))).status_code == 200
    reply = await _ask("POST", b"/jobs", content=body(LARGE + 1))
    assert (reply.status_code, "65536 bytes" in reply.json()["message"]) == (413, True)


@pytest.mark.parametrize(
    ("body", "many"),
    [
        (b"[1,2,3,4]", True),
        (b'["1,2,3,4,5"]', False),
        (rb'["\",,,,,,,\\"]', False),
        (b'{"a":{"b":[1,2]}}', True),
        (b'[",,,,,,,,', False),
    ],
)
def test_values_are_counted_outside_of_strings(body: bytes, many: bool) -> None:
    assert more_values_than(body, 3) is many


def _token(**header: Any) -> str:
    return jwt.encode({"sub": "u"}, KEY.private, "EdDSA", headers=header)


@pytest.mark.parametrize("kid", ["a\x00b", "a\nb", "", "k" * 65, "ż", "\ud800"])
def test_impossible_key_ids_are_no_tokens(kid: str) -> None:
    with pytest.raises(Unauthenticated, match="kid"):
        key_id_of(_token(kid=kid))


@pytest.mark.parametrize(
    "token",
    [
        _token(kid="k", x="[" * 2000),
        "a" * 5000,
        "no token",
        "a.b",
        "ż.ż.ż",
        "",
    ],
)
def test_tokens_that_are_written_wrongly_are_void(token: str) -> None:
    with pytest.raises(jwt.InvalidTokenError):
        key_id_of(token)


def test_headers_of_tokens_are_not_nested_without_end() -> None:
    import base64

    nested = base64.urlsafe_b64encode(b"[" * 20_000).decode().rstrip("=")
    with pytest.raises(jwt.InvalidTokenError):
        key_id_of(f"{nested}.e30.e30")
    for depth in (100, 380):
        nested = base64.urlsafe_b64encode(b"[" * depth).decode().rstrip("=")
        with pytest.raises(jwt.InvalidTokenError):
            key_id_of(f"{nested}.e30.e30")


def test_a_token_may_come_from_a_clock_that_is_a_little_ahead() -> None:
    def made(ahead: timedelta) -> str:
        return issue(KEY, "u", "s", (), datetime.now(UTC) + ahead)[0]

    assert verify(made(CLOCK_SKEW / 2), "k1", PUBLIC).user_id == "u"
    with pytest.raises(jwt.ImmatureSignatureError):
        verify(made(CLOCK_SKEW * 3), "k1", PUBLIC)
