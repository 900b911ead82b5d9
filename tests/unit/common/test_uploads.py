"""The memory of uploads: shared among addresses, and those are the clients'."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope

from kerma_common.errors import Unavailable
from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.body.limits import Body, takes
from kerma_common.http.body.uploads import UPLOADS, Uploads
from kerma_common.http.policy import Principal, public
from kerma_common.http.route import KermaRoute
from kerma_common.settings import HttpSettings

PROXY = "192.0.2.1"
SIZE = 2**17


def test_an_address_holds_no_more_than_it_leaves() -> None:
    uploads = Uploads(600)
    uploads.take("a", 300)
    with pytest.raises(Unavailable):
        uploads.take("a", 1)
    uploads.take("b", 150)
    with pytest.raises(Unavailable):
        uploads.take("b", 1)
    uploads.take("c", 75)
    uploads.give_back("a", 300)
    uploads.take("b", 50)
    for address, size in (("b", 200), ("c", 75)):
        uploads.give_back(address, size)
    assert uploads.free == 600
    uploads.take("b", 300)


async def verify(token: str) -> Principal:
    raise AssertionError


async def health() -> Mapping[str, str]:
    return {}


async def status_of(trusted: tuple[str, ...], client: str, held: str) -> int:
    """Return the answer to an upload that a proxy passes on, while an address holds its share."""
    router = APIRouter(route_class=KermaRoute)

    @router.post("/read")
    @takes(Body.WHOLE)
    @public()
    async def read(request: Request) -> Response:
        return answer("read", size=len(await request.body()))

    settings = HttpSettings(trusted_proxies=trusted)
    app = create_app("t", verifier=verify, health=health, settings=settings, routers=[router])
    uploads = Uploads(4 * SIZE)
    uploads.take(held, 2 * SIZE)
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/read",
        "query_string": b"",
        "headers": [(b"host", b"test"), (b"x-forwarded-for", client.encode())],
        "client": (PROXY, 1),
        "extensions": {UPLOADS: uploads},
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(SIZE), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    uploads.give_back(held, 2 * SIZE)
    assert uploads.free == 4 * SIZE
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("trusted", "client", "held", "status"),
    [
        ((PROXY,), "198.51.100.1", PROXY, 200),
        ((PROXY,), "198.51.100.1", "198.51.100.1", 503),
        ((PROXY,), "2001:db8::1:2", "2001:db8::", 503),
        ((), "198.51.100.1", PROXY, 503),
        ((), "198.51.100.1", "198.51.100.1", 200),
    ],
)
async def test_uploads_count_for_the_client_of_a_trusted_proxy(
    trusted: tuple[str, ...], client: str, held: str, status: int
) -> None:
    assert await status_of(trusted, client, held) == status
