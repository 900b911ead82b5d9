"""Calls about accounts and sessions; both transports alike."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest

from kerma_client.aio import AsyncKermaClient
from kerma_client.api.exchange import Retries
from kerma_client.api.models import NewUser
from kerma_client.client import KermaClient
from kerma_client.errors import ApiError
from kit.running.clients.answers import BUSY, URL, Ask, Server, ok


@pytest.mark.parametrize("made", [{"id": "u1", "password": "made-up-word"}, {"id": "u1"}])
def test_a_user_who_was_created_is_typed_and_shows_no_password(
    ask: Ask, made: dict[str, str]
) -> None:
    found = ask(Server(ok(made, 201)), "create_user", {"username": "grace"})
    assert found == NewUser("u1", made.get("password"))
    assert "made-up-word" not in repr(found)


def left(server: Server) -> tuple[dict[str, str], dict[str, str]]:
    """Log out with each client; return the cookies that they keep."""
    transport = httpx.MockTransport(server)
    cookies = {"access_token": "a", "refresh_token": "r"}
    retries = Retries(attempts=1)

    async def run() -> dict[str, str]:
        async with AsyncKermaClient(URL, transport=transport, retries=retries) as client:
            client._http.cookies.update(cookies)
            with suppress(ApiError):
                await client.logout()
            return dict(client.cookies)

    with KermaClient(URL, transport=transport, retries=retries) as client:
        client._http.cookies.update(cookies)
        with suppress(ApiError):
            client.logout()
        return dict(client.cookies), asyncio.run(run())


def test_a_logout_ends_the_session_and_forgets_its_tokens() -> None:
    server = Server(ok({"message": "User logged out"}))
    assert left(server) == ({}, {})
    for request in server.asked:
        assert (request.method, request.url.path) == ("DELETE", "/auth/logout")
        assert "refresh_token=r" in request.headers["cookie"]


def test_a_logout_that_was_refused_can_be_repeated() -> None:
    kept = {"access_token": "a", "refresh_token": "r"}
    assert left(Server(BUSY)) == (kept, kept)


def test_a_removal_names_the_user_and_may_be_repeated(ask: Ask) -> None:
    server = Server(httpx.ReadError("reset"), httpx.Response(204))
    assert ask(server, "remove_user", {"user_id": "u/1"}) is None
    assert server.paths == ["/v1/users/u%2F1"] * 2
    assert {request.method for request in server.asked} == {"DELETE"}
