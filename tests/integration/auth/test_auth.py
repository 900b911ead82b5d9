"""Accounts and sessions over HTTP, on a real bus and database."""

import asyncio
import base64
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest
import pytest_asyncio
from argon2 import PasswordHasher, extract_parameters
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select, update

from kerma_auth.adapters.passwords.hashes import standard_hasher
from kerma_auth.adapters.vault import CREDENTIAL, Vault
from kerma_auth.domain.user import SYSTEM, USER, GrantRole, RegisterUser
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import user_subject
from kerma_common.infra import Infra
from kerma_common.security.tokens import key_id_of
from kit.running.worlds.accounts import auth_service, login, register, replica
from kit.running.worlds.services import MASTER_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    blobs = tmp_path_factory.mktemp("blobs")
    async with auth_service(nats_url, postgres_url, blobs) as found:
        yield found


async def test_hello(auth: tuple[httpx.AsyncClient, Infra]) -> None:
    answer = await auth[0].get("/")
    assert (answer.status_code, answer.json()) == (200, {"message": "Hello World!"})


async def test_a_session_from_register_to_logout(auth: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = auth
    await register(client, "ada")
    answer = await login(client, "ada")
    assert answer.status_code == 202
    assert set(answer.json()) == {"message", "access_exp", "refresh_exp"}
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "Path=/" in cookie
        assert "samesite=lax" in cookie.lower()
        assert "expires=" in cookie.lower()
        assert "secure" not in cookie.lower()
    status = await client.get("/auth/status")
    assert (status.status_code, status.json()["username"]) == (200, "ada")
    assert status.json()["source"] == "native"
    refreshed = await client.get("/auth/refresh")
    assert refreshed.status_code == 200
    assert set(refreshed.json()) == {"message", "access_exp"}
    kept = dict(client.cookies)
    assert (await client.delete("/auth/logout")).status_code == 200
    assert not client.cookies
    client.cookies.update(kept)
    # the browser may have asked for a new token at the same moment: the session is over anyway
    assert (await client.get("/auth/status")).status_code == 403
    assert (await client.get("/auth/refresh")).status_code == 401
    client.cookies.clear()
    assert (await client.delete("/auth/logout")).status_code == 200


async def test_names_are_taken_once(auth: tuple[httpx.AsyncClient, Infra]) -> None:
    client, _ = auth
    await register(client, "bob", "first-word")
    again = await client.put("/auth/register", json={"username": "bob", "password": "second-word"})
    assert again.status_code == 403
    assert (await login(client, "bob", "second-word")).status_code == 401
    assert (await login(client, "bob", "first-word")).status_code == 202


async def test_wrong_name_and_wrong_password_look_the_same(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = auth
    await register(client, "carol")
    answers = [await login(client, "carol", "wrong"), await login(client, "nobody", "wrong")]
    assert [a.status_code for a in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"username": "x"}, "password"),
        ({"username": "x", "password": 5}, "password"),
        ({"username": "x", "password": None}, "password"),
        ({"username": "", "password": "y"}, "username"),
        ({"username": "a\u0000b", "password": "y"}, "username"),
        ({"username": "x" * 200, "password": "y"}, "username"),
        ({"username": ["x"], "password": "y"}, "username"),
        ({"username": "x", "password": "y" * 1025}, "password"),
    ],
)
async def test_malformed_credentials_are_named(
    auth: tuple[httpx.AsyncClient, Infra], body: dict[str, object], field: str | None
) -> None:
    for method, path in (("PUT", "/auth/register"), ("POST", "/auth/login")):
        answer = await auth[0].request(method, path, json=body)
        assert answer.status_code == 400
        assert field is None or field in answer.json()


async def _everything(infra: Infra) -> tuple[int, int]:
    """Return the number of credentials in the vault, and the end of AUTH."""
    async with infra.db.connect() as connection:
        count = (
            await connection.execute(select(func.count()).select_from(CREDENTIAL))
        ).scalar_one()
    return count, (await infra.log.state("AUTH")).last


@pytest.mark.parametrize(
    ("name", "password", "field"),
    [
        ("dave", "short", "password"),
        ("dave", "x" * 129, "password"),
        ("davedave", "DaveDave", "password"),
        (" dave", "long enough", "username"),
        ("dave\u200b", "long enough", "username"),
        ("d\u0430ve", "long enough", "username"),
    ],
)
async def test_a_registration_that_breaks_a_rule_says_why_and_leaves_nothing(
    auth: tuple[httpx.AsyncClient, Infra], name: str, password: str, field: str
) -> None:
    client, infra = auth
    before = await _everything(infra)
    answer = await client.put("/auth/register", json={"username": name, "password": password})
    assert answer.status_code == 400
    (reason,) = answer.json()[field]
    assert answer.json()["message"] == f"Wrong data provided: {field}: {reason}"
    assert await _everything(infra) == before


async def test_names_that_look_the_same_are_taken_once_and_one_of_many_racers_gets_it(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    credentials, _ = await _everything(infra)
    names = ["Erin", "erin", "ERIN", "\uff25rin"] * 2
    answers = await asyncio.gather(
        *(
            client.put("/auth/register", json={"username": name, "password": f"word-of-{number}"})
            for number, name in enumerate(names)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [403] * 7
    assert (await _everything(infra))[0] == credentials + 1
    winner = [answer.status_code for answer in answers].index(201)
    for name in names:
        assert (await login(client, name, f"word-of-{winner}")).status_code == 202
    # the name is shown as its owner wrote it, in normal form
    shown = {"\uff25rin": "Erin"}.get(names[winner], names[winner])
    assert (await client.get("/auth/status")).json()["username"] == shown


async def test_a_password_can_be_typed_on_any_system(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = auth
    await register(client, "frida", "cafe\u0301 cr\u00e8me")
    assert (await login(client, "frida", "caf\u00e9 cre\u0300me")).status_code == 202


async def test_a_user_of_an_earlier_release_logs_in_as_before_and_nobody_takes_a_like_name(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    # earlier releases derived the id from the name as it was written, and had no rules
    vault = Vault(infra.db, base64.b64decode(MASTER_KEY), infra.reads)
    name, password = "Old  Name ", "e\u0301"
    user_id = vault.user_id("native", name)
    await vault.add_credential("old", user_id, name, standard_hasher().hash(password))
    context = CommandContext("anonymous", ("old",), "old", infra.clock())
    command = RegisterUser(user_id, "native", "old", "password")
    done = await infra.bus.execute(USER, user_subject(user_id), command, context)
    await infra.positions.wait("users", "AUTH", done.seq)
    assert (await login(client, name, password)).status_code == 202
    assert (await client.get("/auth/status")).json()["username"] == name
    await vault.add_credential("older", vault.user_id("native", "Greta"), "Greta", "x")
    await register(client, "greta")  # a row without a user does not take the name
    legacy = vault.user_id("native", "Hugo")
    await vault.add_credential("hugo", legacy, "Hugo", standard_hasher().hash("s3cret"))
    context = CommandContext("anonymous", ("hugo",), "hugo", infra.clock())
    command = RegisterUser(legacy, "native", "hugo", "password")
    done = await infra.bus.execute(USER, user_subject(legacy), command, context)
    await infra.positions.wait("users", "AUTH", done.seq)
    body = {"username": "hugo", "password": "s3cret-word"}
    assert (await client.put("/auth/register", json=body)).status_code == 403
    assert (await login(client, "Hugo", "s3cret")).status_code == 202


async def test_registration_can_be_closed(
    auth: tuple[httpx.AsyncClient, Infra], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, infra = auth
    monkeypatch.setenv("KERMA_AUTH_OPEN_REGISTRATION", "false")
    before = await _everything(infra)
    async with replica(infra) as closed:
        body = {"username": "ivy", "password": "s3cret-word"}
        answer = await closed.put("/auth/register", json=body)
    assert (answer.status_code, "closed" in answer.json()["message"]) == (403, True)
    assert await _everything(infra) == before


async def test_tokens_are_refused_with_the_texts_that_clients_know(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = auth
    client.cookies.clear()
    missing = await client.get("/auth/status")
    assert (missing.status_code, missing.json()["message"]) == (401, "No token provided")
    assert (await client.get("/auth/refresh")).status_code == 401
    for token in ("x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."):
        refused = await client.get("/auth/status", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 403


async def test_secrets_stay_out_of_the_log(auth: tuple[httpx.AsyncClient, Infra]) -> None:
    client, infra = auth
    await register(client, "planted-name", "planted-password")
    answer = await login(client, "planted-name", "planted-password")
    token = answer.cookies["access_token"]
    assert key_id_of(token)
    stored = b""
    async with infra.log.follow("AUTH", 0) as batches:
        last = (await infra.log.state("AUTH")).last
        async for batch in batches:
            stored += b"".join(repr(record).encode() for record in batch)
            if batch[-1].seq >= last:
                break
    assert b"UserRegistered" in stored
    for planted in (b"planted-name", b"planted-password", token.encode()):
        assert planted not in stored


@pytest.mark.parametrize("kid", ["a\x00b", "\x00", "a" * 200])
async def test_a_key_id_that_no_key_has_is_no_token(
    auth: tuple[httpx.AsyncClient, Infra], kid: str
) -> None:
    client, _ = auth
    client.cookies.clear()
    token = jwt.encode({"sub": "u"}, Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": kid})
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"access_token={token}"}):
        refused = await client.get("/auth/status", headers=headers)
        assert (refused.status_code, "kid" in refused.json()["message"]) == (401, True)
    # logging out works with any cookie
    ended = await client.delete("/auth/logout", headers={"Cookie": f"access_token={token}"})
    assert ended.status_code == 200


async def test_logins_beyond_the_queue_are_told_to_come_back(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, _ = auth
    await register(client, "grace")
    answers = await asyncio.gather(*(login(client, "grace") for _ in range(80)))
    assert {answer.status_code for answer in answers} == {202, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(answer.headers["retry-after"] for answer in refused)
    assert sum(answer.status_code == 202 for answer in answers) >= 64


async def test_a_login_grants_the_roles_of_now(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    await register(client, "gale")
    first = await login(client, "gale")
    plain = jwt.decode(first.cookies["access_token"], options={"verify_signature": False})
    for role in ("worker", "admin"):
        grant = GrantRole(plain["sub"], role, SYSTEM)
        context = CommandContext("admin", (role,), role, infra.clock())
        await infra.bus.execute(USER, user_subject(plain["sub"]), grant, context)
    second = jwt.decode(
        (await login(client, "gale")).cookies["access_token"], options={"verify_signature": False}
    )
    assert second["roles"] == ["admin", "worker"]


async def test_a_hash_of_an_earlier_release_is_replaced_atlogin(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    await register(client, "veteran")
    earlier = PasswordHasher(time_cost=3, memory_cost=64, parallelism=4).hash("s3cret-word")
    of_veteran = CREDENTIAL.c.username == "veteran"
    async with infra.db.begin() as connection:
        await connection.execute(update(CREDENTIAL).where(of_veteran).values(secret_hash=earlier))

    async def stored() -> str:
        async with infra.db.connect() as connection:
            found = select(CREDENTIAL.c.secret_hash).where(of_veteran)
            return str((await connection.execute(found)).scalar_one())

    assert (await login(client, "veteran", "wrong")).status_code == 401
    assert await stored() == earlier
    assert (await login(client, "veteran")).status_code == 202
    renewed = await stored()
    assert extract_parameters(renewed) == extract_parameters(standard_hasher().hash("any"))
    assert (await login(client, "veteran")).status_code == 202
    assert await stored() == renewed
