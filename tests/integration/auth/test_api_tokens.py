"""API tokens over HTTP: accepted by every service, revocable, and never readable again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from kerma_auth.adapters.token_labels import LABEL
from kerma_auth.app.tokens import ApiTokens
from kerma_auth.domain.user import SYSTEM, USER, GrantRole
from kerma_auth.main import handlers_of
from kerma_batch_gateway.main import build as build_batch
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import user_subject
from kerma_common.errors import KeyReused
from kerma_common.http.idempotency import RequestKey
from kerma_common.infra import Infra
from kerma_common.security import api_tokens
from kit.programs.family import PATIENCE
from kit.running.worlds.accounts import auth_and_another, login, register
from kit.running.worlds.services import MASTER_KEY, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVERYWHERE_SECONDS = 1.0
"""Within this time, a change is effective in every process."""
Headers = dict[str, str]


@dataclass
class World:
    """Auth, and another service that knows AUTH by its own follower only."""

    auth: httpx.AsyncClient
    other: httpx.AsyncClient
    infra: Infra
    stored: dict[str, Any]

    async def enter(self, name: str) -> Headers:
        answer = await login(self.auth, name)
        if answer.status_code == 401:
            await register(self.auth, name)
            answer = await login(self.auth, name)
        self.auth.cookies.clear()
        return bearer(answer.cookies["access_token"])

    async def token(self, person: Headers, label: str = "script") -> dict[str, Any]:
        answer = await self.auth.post("/v1/tokens", json={"label": label}, headers=person)
        assert answer.status_code == 201, answer.text
        assert answer.headers["cache-control"] == "no-store"
        made: dict[str, Any] = answer.json()
        return made

    async def listed(self, person: Headers) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.auth.get("/v1/tokens", headers=person)).json()[
            "items"
        ]
        return found

    async def status(self, token: Headers) -> int:
        return (await self.other.get("/clusters", headers=token)).status_code

    async def becomes(self, status: int, token: Headers, within: float = 1.0) -> None:
        async with asyncio.timeout(within):
            while await self.status(token) != status:
                await asyncio.sleep(0.01)


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs: Path = tmp_path_factory.mktemp("blobs")
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        async with auth_and_another(**stored) as (client, infra, far):
            yield World(client, far, infra, stored)


async def test_a_token_acts_for_its_user_in_every_service_until_it_is_revoked(
    world: World,
) -> None:
    ada = await world.enter("ada")
    made = await world.token(ada)
    token = bearer(made["token"])
    await world.becomes(200, token)
    assert (await world.auth.get("/auth/status", headers=token)).json()["username"] == "ada"
    (listed,) = await world.listed(ada)
    assert (listed["label"], listed["id"]) == ("script", made["id"])
    assert made["token"] not in repr(listed)
    expires = datetime.fromisoformat(listed["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < expires <= timedelta(days=90)
    path = f"/v1/tokens/{made['id']}"
    for _ in range(2):
        assert (await world.auth.delete(path, headers=ada)).status_code == 204
    assert (await world.auth.get("/auth/status", headers=token)).status_code == 403
    await world.becomes(403, token)
    assert await world.listed(ada) == []


async def test_a_process_that_starts_later_knows_tokens_and_which_are_void(world: World) -> None:
    bob = await world.enter("bob")
    alive, void = await world.token(bob), await world.token(bob)
    await world.auth.delete(f"/v1/tokens/{void['id']}", headers=bob)
    async with running("batch", "kerma_batch_gateway", build_batch, **world.stored) as (late, _):
        assert (await late.get("/clusters", headers=bearer(alive["token"]))).status_code == 200
        assert (await late.get("/clusters", headers=bearer(void["token"]))).status_code == 403


async def test_a_token_cannot_make_itself_last(world: World) -> None:
    carol = await world.enter("carol")
    made = await world.token(carol)
    token = bearer(made["token"])
    for method, path, body in (
        ("POST", "/v1/tokens", {"label": "more"}),
        ("DELETE", f"/v1/tokens/{made['id']}", None),
        (
            "PUT",
            "/v1/users/me/password",
            {"old_password": "s3cret-word", "new_password": "other-word"},
        ),
    ):
        answer = await world.auth.request(method, path, json=body, headers=token)
        assert answer.status_code == 403, path
    # a script's logout ends no session and leaves the token
    assert (await world.auth.delete("/auth/logout", headers=token)).status_code == 200
    assert (await world.auth.get("/auth/status", headers=token)).status_code == 200


async def test_another_user_has_no_hold_on_a_token(world: World) -> None:
    dora, eve = await world.enter("dora"), await world.enter("eve")
    made = await world.token(dora)
    path = f"/v1/tokens/{made['id']}"
    assert (await world.auth.delete(path, headers=eve)).status_code == 404
    assert (await world.auth.delete("/v1/tokens/" + "0" * 16, headers=eve)).status_code == 404
    assert await world.listed(eve) == []
    assert (await world.auth.get("/auth/status", headers=bearer(made["token"]))).status_code == 200


@pytest.mark.parametrize(
    "change",
    [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: t + "A", lambda t: t[:20]],
)
async def test_only_the_whole_token_is_accepted(world: World, change: Any) -> None:
    frida = await world.enter("frida")
    token = (await world.token(frida))["token"]
    for wrong in (change(token), "kerma_", "kerma_" + "0" * 16 + "_" + "A" * 43):
        answer = await world.auth.get("/auth/status", headers=bearer(wrong))
        assert (answer.status_code, answer.json()["message"]) == (403, "The API token is not valid")


async def test_tokens_carry_the_roles_of_quotas_and_go_with_them(world: World) -> None:
    gale = await world.enter("gale")
    user_id = (await world.auth.get("/v1/users/me", headers=gale)).json()["id"]
    for role in ("service", "admin"):
        context = CommandContext("admin", ("gale", role), role, world.infra.clock())
        grant = GrantRole(user_id, role, SYSTEM)
        await world.infra.bus.execute(USER, user_subject(user_id), grant, context)
    made = await world.token(gale)
    token = bearer(made["token"])
    await world.becomes(200, token)
    (listed,) = await world.listed(gale)
    assert listed["roles"] == ["service"]
    # also an admin's token does not administer
    assert (await world.auth.get("/v1/users", headers=token)).status_code == 403
    handlers = handlers_of(world.infra)
    await handlers.administration.revoke(user_id, "service", SYSTEM, "take-it-back")
    await world.becomes(403, token)
    last = (await world.infra.log.state("AUTH")).last
    assert await world.infra.positions.wait("users", "AUTH", last)
    assert await world.listed(gale) == []


async def test_the_tokens_of_a_disabled_account_rest(world: World) -> None:
    hugo = await world.enter("hugo")
    user_id = (await world.auth.get("/v1/users/me", headers=hugo)).json()["id"]
    token = bearer((await world.token(hugo))["token"])
    await world.becomes(200, token)
    handlers = handlers_of(world.infra)
    await handlers.administration.disable(user_id, SYSTEM, "off")
    await world.becomes(403, token)
    await handlers.administration.enable(user_id, SYSTEM, "on")
    await world.becomes(200, token)


async def test_the_last_use_is_noted_wherever_it_was(world: World) -> None:
    ivy = await world.enter("ivy")
    made = await world.token(ivy)
    assert (await world.listed(ivy))[0]["last_used_at"] is None
    await world.becomes(200, bearer(made["token"]))
    async with asyncio.timeout(PATIENCE):
        while (used := (await world.listed(ivy))[0]["last_used_at"]) is None:
            await asyncio.sleep(0.05)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(used)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "label"),
        ({"label": ""}, "label"),
        ({"label": "a\u0000b"}, "label"),
        ({"label": "x" * 101}, "label"),
        ({"label": "x", "days": 0}, "days"),
        ({"label": "x", "days": 367}, "days"),
        ({"label": "x", "days": "9"}, "days"),
        ({"label": "x", "roles": ["admin"]}, "roles"),
    ],
)
async def test_a_malformed_request_names_the_field(
    world: World, body: dict[str, object], field: str
) -> None:
    kate = await world.enter("kate")
    answer = await world.auth.post("/v1/tokens", json=body, headers=kate)
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, [field])


async def test_the_secret_is_stored_nowhere(world: World) -> None:
    liam = await world.enter("liam")
    made = await world.token(liam, "planted-label")
    found = api_tokens.read(made["token"])
    assert found is not None
    stored = b""
    last = (await world.infra.log.state("AUTH")).last
    async with world.infra.log.follow("AUTH", 0) as batches:
        async for batch in batches:
            stored += b"".join(repr(record).encode() for record in batch)
            if batch[-1].seq >= last:
                break
    assert made["id"].encode() in stored
    assert found[1].encode() not in stored
    assert b"planted-label" not in stored
    async with world.infra.db.connect() as connection:
        rows = (await connection.execute(LABEL.select())).all()
    assert "planted-label" in repr(rows)
    assert found[1] not in repr(rows)


async def test_a_token_expires(world: World) -> None:
    mona = await world.enter("mona")
    user_id = (await world.auth.get("/v1/users/me", headers=mona)).json()["id"]
    tokens: ApiTokens = handlers_of(world.infra).tokens
    token, _, _, seq = await tokens.create(user_id, "short", timedelta(seconds=-1), "r")
    assert await world.infra.identity.wait(seq)
    answer = await world.auth.get("/auth/status", headers=bearer(token))
    assert (answer.status_code, "expired" in answer.json()["message"]) == (403, True)
    assert await world.listed(mona) == []


async def test_a_repeated_request_gets_its_token_again(world: World) -> None:
    person = await world.enter("repeater")
    keyed = {**person, "Idempotency-Key": "once"}

    async def create(headers: Headers, **body: Any) -> httpx.Response:
        return await world.auth.post("/v1/tokens", json={"label": "r", **body}, headers=headers)

    answers = await asyncio.gather(*(create(keyed) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    token = answers[0].json()
    assert len(await world.listed(person)) == 1
    await world.becomes(200, bearer(token["token"]))
    for other in (await create(keyed, label="s"), await create(keyed, days=3)):
        assert other.status_code == 422
    stranger = {**await world.enter("stranger"), "Idempotency-Key": "once"}
    assert (await create(stranger)).json()["id"] != token["id"]
    second = await create({**person, "Idempotency-Key": "twice"})
    assert second.json()["id"] != token["id"]
    path = f"/v1/tokens/{token['id']}"
    assert (await world.auth.delete(path, headers=person)).status_code == 204
    assert (await create(keyed)).status_code == 422  # the key stands for a void token


async def test_a_key_is_good_for_a_day(world: World) -> None:
    tokens: ApiTokens = handlers_of(world.infra).tokens
    key = RequestKey("k" * 64, "d" * 64)
    nora = await world.enter("nora")
    user_id = (await world.auth.get("/v1/users/me", headers=nora)).json()["id"]
    life, at = timedelta(days=90), datetime.now(UTC)

    async def again(after: timedelta) -> str:
        later = replace(tokens, clock=lambda: at + after)
        return (await later.create(user_id, "r", life, "request", key))[0]

    first = await again(timedelta())
    assert await again(timedelta(hours=23)) == first
    with pytest.raises(KeyReused):
        await again(timedelta(hours=25))
