"""A user sees and ends own sessions; an operator's repeated creation of a user is one user."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import httpx
import pytest
from sqlalchemy import func, select

from kerma_auth.adapters.vault import CREDENTIAL
from kerma_auth.app.accounts import NameTaken
from kerma_auth.app.ports import Caller
from kerma_auth.main import handlers_of
from kerma_common.errors import KeyReused, Unavailable
from kerma_common.http.idempotency import RequestKey
from kit.running.worlds.accounts import login
from kit.running.worlds.people import Person, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def listed(world: World, person: Person) -> list[dict[str, Any]]:
    answer = await world.ask(person, "GET", "/v1/sessions")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_user_lists_own_sessions_the_one_used_last_first(world: World) -> None:
    first, second = await world.new("ada"), await world.enter("ada")
    await world.new("stranger")
    shown = await listed(world, second)
    assert [one["current"] for one in shown] == [True, False]
    assert [one["current"] for one in await listed(world, first)] == [False, True]
    left = datetime.fromisoformat(shown[0]["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=119) < left <= timedelta(minutes=120)
    assert await world.refreshed(first) == 200
    assert [one["current"] for one in await listed(world, first)] == [True, False]


async def test_a_user_ends_one_session_everywhere(world: World) -> None:
    here, there = await world.new("bob"), await world.enter("bob")
    (other,) = [one for one in await listed(world, here) if not one["current"]]
    path = f"/v1/sessions/{other['id']}"
    for _ in range(2):  # a repetition changes nothing
        assert (await world.ask(here, "DELETE", path)).status_code == 204
    assert (await world.ask(there, "GET", "/auth/status")).status_code == 403
    await world.becomes(403, there)
    assert await world.refreshed(there) == 401
    assert await world.elsewhere(here) == 200
    (own,) = await listed(world, here)
    ended = await world.ask(here, "DELETE", f"/v1/sessions/{own['id']}")
    assert ended.status_code == 204
    assert ended.headers["set-cookie"].startswith("access_token=")  # the browser drops it
    assert (await world.ask(here, "GET", "/auth/status")).status_code == 403


async def test_a_user_ends_all_other_sessions_everywhere(world: World) -> None:
    others = [await world.new("carol"), await world.enter("carol")]
    here = await world.enter("carol")
    for _ in range(2):
        assert (await world.ask(here, "DELETE", "/v1/sessions")).status_code == 204
    for other in others:
        await world.becomes(403, other)
        assert await world.refreshed(other) == 401
    assert [one["current"] for one in await listed(world, here)] == [True]
    assert await world.refreshed(here) == 200


async def test_a_repetition_ends_what_a_try_before_ended_in_this_service_alone(
    world: World,
) -> None:
    there, here = await world.new("cleo"), await world.enter("cleo")
    (own,) = [one["id"] for one in await listed(world, here) if one["current"]]
    # the commits of the first try did not come so far
    sessions = handlers_of(world.infra).sessions.sessions
    assert len(await sessions.end_all(there.user_id, datetime.now(UTC), own)) == 1
    assert await world.elsewhere(there) == 200
    assert (await world.ask(here, "DELETE", "/v1/sessions")).status_code == 204
    await world.becomes(403, there)
    assert await world.elsewhere(here) == 200


async def test_nobody_ends_sessions_of_others_nor_by_an_api_token(world: World) -> None:
    dora, eve = await world.new("dora"), await world.new("eve")
    (session,) = await listed(world, dora)
    path = f"/v1/sessions/{session['id']}"
    assert (await world.ask(eve, "DELETE", path)).status_code == 404
    assert (await world.ask(eve, "DELETE", "/v1/sessions/" + "0" * 32)).status_code == 404
    assert (await world.ask(eve, "DELETE", "/v1/sessions/none")).status_code == 400
    made = await world.ask(dora, "POST", "/v1/tokens", {"label": "script"})
    script = Person("dora", dora.user_id, {"Authorization": f"Bearer {made.json()['token']}"}, {})
    assert [one["current"] for one in await listed(world, script)] == [False]
    for where in ("/v1/sessions", path):
        assert (await world.ask(script, "DELETE", where)).status_code == 403
    assert await world.elsewhere(dora) == 200


async def create(world: World, by: Person, key: str, **body: str) -> httpx.Response:
    headers = {**by.access, **({"Idempotency-Key": key} if key else {})}
    return await world.auth.post("/v1/users", json=body, headers=headers)


async def test_a_taken_name_is_a_conflict_below_v1(world: World) -> None:
    operator = await world.new("olga", "operator")
    await world.new("taken")
    for name in ("taken", "TAKEN"):
        answer = await create(world, operator, "", username=name)
        assert (answer.status_code, answer.json()["code"]) == (409, "USER_EXISTS")
    # what the UI expects stays
    body = {"username": "taken", "password": "long enough"}
    assert (await world.auth.put("/auth/register", json=body)).status_code == 403


async def test_a_repeated_creation_is_one_user_with_one_password(world: World) -> None:
    operator, other = await world.new("otto", "operator"), await world.new("oona", "operator")
    tries = [create(world, operator, "once", username="frida") for _ in range(4)]
    answers = await asyncio.gather(*tries)
    assert {answer.status_code for answer in answers} == {201}, [a.text for a in answers]
    assert len({answer.content for answer in answers}) == 1
    password = answers[0].json()["password"]
    assert (await login(world.auth, "frida", password)).status_code == 202
    world.auth.cookies.clear()
    again = await create(world, operator, "once", username="frida")
    assert (again.status_code, again.json()) == (201, answers[0].json())
    # another body, another operator
    for body in ({"username": "gale"}, {"username": "frida", "password": "long enough"}):
        assert (await create(world, operator, "once", **body)).status_code == 422
    strange = await create(world, other, "once", username="frida")
    assert strange.status_code == 409
    fresh = await create(world, other, "once", username="hugo")
    assert fresh.json()["password"] != password
    given = {"username": "ivy", "password": "long enough"}
    for _ in range(2):
        chosen = await create(world, operator, "chosen", **given)
        assert (chosen.status_code, "password" in chosen.json()) == (201, False)
    names = CREDENTIAL.c.username.in_(["frida", "gale", "ivy"])
    async with world.infra.db.connect() as connection:
        rows = await connection.scalar(select(func.count()).select_from(CREDENTIAL).where(names))
    assert rows == 2  # nothing is left of the refused ones


async def test_of_two_requests_with_one_key_at_once_one_makes_a_user(world: World) -> None:
    operator = await world.new("oleg", "operator")
    for number in range(5):
        names = [f"twin-{number}-{which}" for which in range(4)]
        key = f"both-{number}"
        tries = [create(world, operator, key, username=name) for name in names]
        answers = await asyncio.gather(*tries)
        assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]
        query = select(CREDENTIAL.c.username).where(CREDENTIAL.c.username.in_(names))
        async with world.infra.db.connect() as connection:
            (made,) = await connection.scalars(query)
        again = await create(world, operator, key, username=made)
        won = next(answer for answer in answers if answer.status_code == 201)
        assert (again.status_code, again.content) == (201, won.content)


async def test_a_try_that_fails_leaves_the_credential_that_it_shares(world: World) -> None:
    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.infra.bus, name)

        async def execute(self, *_: object, **__: object) -> NoReturn:
            raise Unavailable("not now")

    accounts = handlers_of(world.infra).accounts
    bus: Any = Failing()
    key = RequestKey("s" * 64, "d" * 64)
    for name, given in (("kate", key), ("liam", None)):
        with pytest.raises(Unavailable):
            await replace(accounts, bus=bus).create(name, None, "", "admin", given)
    query = select(CREDENTIAL.c.username).where(CREDENTIAL.c.username.in_(["kate", "liam"]))
    async with world.infra.db.connect() as connection:
        assert list(await connection.scalars(query)) == ["kate"]
    made = await accounts.create("kate", None, "", "admin", key)
    assert await world.infra.positions.wait("users", "AUTH", made.seq)
    assert (await login(world.auth, "kate", made.password or "")).status_code == 202
    world.auth.cookies.clear()
    # one that was between its two looks meanwhile
    caller, credential_id = Caller("", "kate"), accounts.secrets.credential_id("admin", key)
    found = await accounts._create(caller, "another", credential_id, "admin", repeatable=True)
    assert found[0] == made.user_id


async def test_a_first_try_that_died_is_completed_and_a_changed_password_is_not_told(
    world: World,
) -> None:
    operator = await world.new("omar", "operator")
    accounts = handlers_of(world.infra).accounts
    key = RequestKey("k" * 64, "d" * 64)
    credential_id = accounts.secrets.credential_id("admin", key)
    user_id = accounts.vault.user_id("native", "jane")
    password = accounts.secrets.password(credential_id, key)
    async with accounts.passwords.turn(Caller("", "jane")) as hashing:
        secret_hash = await hashing.hash(password)
    await accounts.vault.add_credential(credential_id, user_id, "jane", secret_hash)
    made = await accounts.create("jane", None, "", "admin", key)
    assert (made.user_id, made.password) == (user_id, password)
    assert await world.infra.positions.wait("users", "AUTH", made.seq)
    assert (await accounts.create("jane", None, "", "admin", key)) == made
    late = replace(accounts, clock=lambda: datetime.now(UTC) + timedelta(hours=25))
    with pytest.raises(KeyReused):
        await late.create("jane", None, "", "admin", key)
    reset = await world.ask(operator, "POST", f"/v1/users/{user_id}/password-reset", {})
    assert reset.status_code == 200
    with pytest.raises(NameTaken):
        await accounts.create("jane", None, "", "admin", key)
