"""Callers who may no longer act once their body has arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import pytest
from fastapi import APIRouter
from starlette.responses import Response

from kerma_common.errors import Forbidden, VoidToken
from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated, role
from kerma_common.http.route import KermaRoute
from kerma_common.settings import HttpSettings

HEADERS = {"Authorization": "Bearer token"}
ADMIN = Principal("u1", "s1", frozenset({"admin"}))


class Account:
    """An account whose standing the test changes, and what was done in its name."""

    def __init__(self) -> None:
        self.standing: Principal | Exception = ADMIN
        self.done: list[frozenset[str]] = []

    async def verify(self, token: str) -> Principal:
        """Return the principal of now."""
        if isinstance(self.standing, Exception):
            raise self.standing
        return self.standing

    def router(self) -> APIRouter:
        """Return routes that note what they do."""
        router = APIRouter(route_class=KermaRoute)

        @router.post("/jobs")
        @authenticated()
        async def submit(body: dict[str, int], principal: CurrentPrincipal) -> Response:
            self.done.append(principal.roles)
            return answer("ok")

        @router.post("/users")
        @role("admin")
        async def create(body: dict[str, int]) -> Response:
            self.done.append(ADMIN.roles)
            return answer("ok")

        return router


async def health() -> Mapping[str, str]:
    return {}


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
async def client(account: Account) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "t",
        verifier=account.verify,
        health=health,
        settings=HttpSettings(),
        routers=[account.router()],
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=HEADERS
    ) as made:
        yield made


async def halves(between: Callable[[], None]) -> AsyncIterator[bytes]:
    """Yield a body in two pieces."""
    yield b'{"a":'
    between()
    yield b"1}"


@pytest.mark.parametrize(
    ("path", "standing"),
    [
        ("/jobs", VoidToken("The session has ended")),
        ("/jobs", Forbidden("This account is disabled")),
        ("/users", Principal("u1", "s1")),
    ],
)
async def test_who_is_shut_out_while_the_body_arrives_does_nothing(
    client: httpx.AsyncClient, account: Account, path: str, standing: Principal | Exception
) -> None:
    def revoke() -> None:
        account.standing = standing

    reply = await client.post(path, content=halves(revoke))
    assert (reply.status_code, account.done) == (403, [])
    if isinstance(standing, Exception):
        assert reply.json()["message"] == str(standing)


async def test_the_handler_knows_the_roles_of_now(
    client: httpx.AsyncClient, account: Account
) -> None:
    def demote() -> None:
        account.standing = Principal("u1", "s1")

    assert (await client.post("/jobs", content=halves(demote))).status_code == 200
    assert (await client.post("/jobs", content=b"{}")).status_code == 200
    assert account.done == [frozenset(), frozenset()]
