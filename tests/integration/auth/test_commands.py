"""``kerma admin users`` and ``kerma auth`` against a running auth service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import uvicorn
from typer.testing import CliRunner, Result

from kerma_client.cli import app
from kerma_client.client import KermaClient
from kerma_client.errors import ApiError
from kerma_common.infra import Infra
from kit.running.worlds.accounts import auth_service, login
from kit.running.worlds.services import MASTER_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    blobs = tmp_path_factory.mktemp("blobs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_NATS_URL", nats_url)
        patch.setenv("KERMA_PG_URL", postgres_url)
        patch.setenv("KERMA_BLOB_URL", f"file://{blobs}")
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        async with auth_service(nats_url, postgres_url, blobs) as found:
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(auth: tuple[httpx.AsyncClient, Infra]) -> AsyncIterator[str]:
    """Return the address of a server in front of the service."""
    transport = auth[0]._transport
    assert isinstance(transport, httpx.ASGITransport)
    config = uvicorn.Config(transport.app, port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def kerma(*arguments: str, typed: str = "", status: int = 0) -> Result:
    """Run a command as a user does; it may not block the loop that serves it."""
    ran = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), input=typed)
    assert ran.exit_code == status, ran.output + repr(ran.exception)
    return ran


async def _listed(name: str) -> dict[str, object]:
    rows = json.loads((await kerma("admin", "users", "list", "--json")).stdout)
    (row,) = (row for row in rows if row["username"] == name)
    assert isinstance(row, dict)
    return row


async def test_an_operator_of_the_machine_keeps_accounts(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    password = (await kerma("admin", "users", "add", "ada")).stdout.strip()
    assert await infra.positions.wait("users", "AUTH", (await infra.log.state("AUTH")).last)
    assert (await login(client, "ada", password)).status_code == 202
    await kerma("admin", "users", "grant", "ADA", "admin")
    assert await infra.positions.wait("users", "AUTH", (await infra.log.state("AUTH")).last)
    row = await _listed("ada")
    assert (row["roles"], row["disabled"], row["source"]) == (["admin"], False, "native")
    await kerma("admin", "users", "revoke", "ada", "admin")
    await kerma("admin", "users", "disable", str(row["id"]))
    assert await infra.positions.wait("users", "AUTH", (await infra.log.state("AUTH")).last)
    row = await _listed("ada")
    assert (row["roles"], row["disabled"]) == ([], True)
    assert (await login(client, "ada", password)).status_code == 403
    await kerma("admin", "users", "enable", "ada")
    new = (await kerma("admin", "users", "reset-password", "ada")).stdout.strip()
    assert (await login(client, "ada", password)).status_code == 401
    assert (await login(client, "ada", new)).status_code == 202
    assert "ada" in (await kerma("admin", "users", "list")).stdout


async def test_faults_are_told(auth: tuple[httpx.AsyncClient, Infra]) -> None:
    unknown = await kerma("admin", "users", "disable", "nobody", status=1)
    assert "there is no user nobody" in str(unknown.exception)
    for name in (" odd", "odd\u200b"):
        refused = await kerma("admin", "users", "add", name, status=1)
        assert "username" in str(refused.exception)


async def test_keys_are_listed_and_rotated(auth: tuple[httpx.AsyncClient, Infra]) -> None:
    async def keys() -> list[str]:
        lines = (await kerma("admin", "keys", "list")).stdout.splitlines()
        return [word for line in lines for word in line.split() if len(word) == 16]

    await login(auth[0], "nobody")
    (first,) = await keys()
    await kerma("admin", "keys", "rotate")
    assert (await keys())[0] == first
    await kerma("admin", "keys", "rotate", "--at-once")
    assert len(await keys()) == 3


async def test_a_user_keeps_tokens(auth: tuple[httpx.AsyncClient, Infra], url: str) -> None:
    _, infra = auth
    password = (await kerma("admin", "users", "add", "carol")).stdout.strip()
    assert await infra.positions.wait("users", "AUTH", (await infra.log.state("AUTH")).last)
    who = ("--user", "carol", "--url", url)
    typed = f"{password}\n"
    made = await kerma("auth", "token", "create", "nightly", *who, typed=typed)
    with KermaClient(url, token=made.stdout.strip()) as script:
        assert (await asyncio.to_thread(script.tokens))[0].label == "nightly"
    listed = await kerma("auth", "token", "list", "--json", *who, typed=typed)
    (row,) = json.loads(listed.stdout)
    assert made.stdout.strip() not in listed.output
    await kerma("auth", "token", "revoke", row["id"], *who, typed=typed)
    with KermaClient(url, token=made.stdout.strip()) as script, pytest.raises(ApiError):
        await asyncio.to_thread(script.tokens)


async def test_a_user_ends_sessions(auth: tuple[httpx.AsyncClient, Infra], url: str) -> None:
    client, infra = auth
    password = (await kerma("admin", "users", "add", "dana")).stdout.strip()
    assert await infra.positions.wait("users", "AUTH", (await infra.log.state("AUTH")).last)
    who, typed = ("--user", "dana", "--url", url), f"{password}\n"
    first = (await login(client, "dana", password)).cookies["access_token"]
    second = (await login(client, "dana", password)).cookies["access_token"]
    listed = json.loads(
        (await kerma("auth", "sessions", "list", "--json", *who, typed=typed)).stdout
    )
    assert [one["current"] for one in listed] == [True, False, False]
    one = await kerma("auth", "sessions", "end", listed[1]["id"], *who, typed=typed)
    assert listed[1]["id"] in one.stdout
    assert await statuses(client, first, second) == [200, 403]
    rest = await kerma("auth", "sessions", "end", "--json", *who, typed=typed)
    assert json.loads(rest.stdout) == {"ended": "others"}
    assert await statuses(client, first, second) == [403, 403]
    left = json.loads((await kerma("auth", "sessions", "list", "--json", *who, typed=typed)).stdout)
    # each command ends its own session
    assert [one["current"] for one in left] == [True]


async def statuses(client: httpx.AsyncClient, *tokens: str) -> list[int]:
    client.cookies.clear()
    headers = [{"Authorization": f"Bearer {token}"} for token in tokens]
    return [(await client.get("/auth/status", headers=sent)).status_code for sent in headers]


async def test_a_user_changes_the_password(auth: tuple[httpx.AsyncClient, Infra], url: str) -> None:
    client, infra = auth
    old = (await kerma("admin", "users", "add", "bob")).stdout.strip()
    assert await infra.positions.wait("users", "AUTH", (await infra.log.state("AUTH")).last)
    command = ("auth", "password", "--user", "bob", "--url", url)
    ran = await kerma(*command, typed=f"{old}\nan other word\nan other word\n")
    assert "an other word" not in ran.output
    assert old not in ran.output
    assert (await login(client, "bob", "an other word")).status_code == 202
    refused = await kerma(*command, typed="an other word\nshort\nshort\n", status=1)
    assert "Must have 8 to 128 characters" in str(refused.exception)
