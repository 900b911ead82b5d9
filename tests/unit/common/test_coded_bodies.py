"""Bodies in gzip: every route reads them, within the limits of decoded bodies."""

from __future__ import annotations

import base64
import gzip
import random
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Body
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import Message

from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.body.coding import MOST_EXCESS, PIECE, Inflated
from kerma_common.http.body.json_body import LARGE
from kerma_common.http.policy import public
from kerma_common.http.route import KermaRoute
from kerma_common.security.principal import Principal
from kerma_common.settings import HttpSettings

JSON = gzip.compress(b'{"name":"n"}', mtime=0)


async def verify(token: str) -> Principal:
    raise AssertionError(token)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter(route_class=KermaRoute)

    @router.post("/named")
    @public()
    async def named(body: Annotated[dict[str, Any], Body()]) -> Response:
        return answer("ok", name=body["name"])

    @router.get("/seen")
    @public()
    async def seen() -> Response:
        return answer("ok")

    async def health() -> dict[str, str]:
        return {}

    app = create_app(
        "test", verifier=verify, health=health, settings=HttpSettings(), routers=[router]
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
        yield made


def coded(*codings: str) -> list[tuple[str, str]]:
    return [("Content-Encoding", coding) for coding in codings]


@pytest.mark.parametrize("coding", ["gzip", "GZIP", " x-gzip "])
async def test_gzip_is_read(client: httpx.AsyncClient, coding: str) -> None:
    reply = await client.post("/named", content=JSON, headers=coded(coding))
    assert (reply.status_code, reply.json().get("name")) == (200, "n")


async def test_identity_is_read(client: httpx.AsyncClient) -> None:
    for coding in ("identity", ""):
        reply = await client.post("/named", content=b'{"name":"n"}', headers=coded(coding))
        assert reply.status_code == 200


@pytest.mark.parametrize(
    "codings", [["br"], ["deflate"], ["gzip, gzip"], ["gzip", "gzip"], ["gzip, identity"], ["x"]]
)
async def test_other_codings_are_415(client: httpx.AsyncClient, codings: list[str]) -> None:
    reply = await client.post("/named", content=JSON, headers=coded(*codings))
    assert (reply.status_code, reply.headers["accept-encoding"]) == (415, "gzip")
    assert (await client.get("/seen", headers=coded(*codings))).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{}", JSON[:-1], JSON[:5], JSON + b"x", JSON + JSON, zlib.compress(b"{}")]
)
async def test_what_is_not_a_gzip_member_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    reply = await client.post("/named", content=body, headers=coded("gzip"))
    assert reply.status_code == 400
    assert reply.json()["message"].startswith("The body")


async def test_a_bomb_is_refused_before_it_is_received(client: httpx.AsyncClient) -> None:
    sent = 0

    async def bomb() -> AsyncIterator[bytes]:
        nonlocal sent
        packing = zlib.compressobj(9, wbits=31)
        while True:
            if piece := packing.compress(b" " * 2**20):
                sent += 1
                yield piece

    reply = await client.post("/named", content=bomb(), headers=coded("gzip"))
    assert reply.status_code == 413
    assert reply.json()["message"] == f"The body is larger than {LARGE} bytes"
    assert sent <= 2  # the header of gzip may come alone


def _name() -> Iterator[bytes]:
    """A gzip header whose file name has no end."""
    yield b"\x1f\x8b\x08\x08" + bytes(6)
    while True:
        yield b"n" * 4096


def _blocks() -> Iterator[bytes]:
    """Stored blocks without content."""
    yield b"\x1f\x8b\x08" + bytes(7)
    while True:
        yield b"\x00\x00\x00\xff\xff" * 800


@pytest.mark.parametrize("endless", [_name, _blocks])
async def test_gzip_that_holds_nothing_is_refused(
    client: httpx.AsyncClient, endless: Callable[[], Iterator[bytes]]
) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for piece in endless():
            sent += len(piece)
            yield piece

    reply = await client.post("/named", content=pieces(), headers=coded("gzip"))
    assert reply.status_code == 400
    assert reply.json()["message"] == "The body is gzip that is larger than what it holds"
    assert sent <= MOST_EXCESS + 8192


async def test_content_that_cannot_be_packed_is_read(client: httpx.AsyncClient) -> None:
    noise = base64.b64encode(random.Random(5).randbytes(40_000)).decode()
    body = gzip.compress(b'{"name":"%b"}' % noise.encode(), compresslevel=0)
    reply = await client.post("/named", content=body, headers=coded("gzip"))
    assert reply.json()["name"] == noise


async def test_a_browsers_gzip_must_be_declared_as_json_too(client: httpx.AsyncClient) -> None:
    page = {"Origin": "http://test", "Content-Encoding": "gzip"}
    for media, status in (("text/plain", 415), ("application/json", 200)):
        headers = {**page, "Content-Type": media}
        assert (await client.post("/named", content=JSON, headers=headers)).status_code == status


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 200), st.integers(0, 3))
async def test_a_body_arrives_as_it_was(parts: list[bytes], step: int, repeated: int) -> None:
    body = b"".join(parts) * 10 ** (repeated + 1)
    packed = gzip.compress(body)
    messages = [
        {"type": "http.request", "body": packed[at : at + step], "more_body": True}
        for at in range(0, len(packed), step)
    ]
    messages += [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    inflated = Inflated(receive)
    found = b""
    while True:
        message = await inflated()
        assert len(message["body"]) <= PIECE
        found += message["body"]
        if not message["more_body"]:
            break
    assert found == body
    assert (await inflated())["type"] == "http.disconnect"
