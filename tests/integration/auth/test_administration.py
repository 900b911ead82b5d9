"""Passwords, roles and disabled accounts over HTTP, effective in another service too."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import jwt
import pytest
from sqlalchemy import func, select

from kerma_auth.adapters.vault import CREDENTIAL
from kerma_auth.main import handlers_of
from kerma_common.commands import lateness
from kerma_common.errors import Unavailable
from kerma_common.infra import Infra
from kit.programs.family import PATIENCE
from kit.running.worlds.accounts import PASSWORD, login, register, replica
from kit.running.worlds.held import held
from kit.running.worlds.people import Person, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_changed_password_ends_the_other_sessions_everywhere(world: World) -> None:
    here, there = await world.new("ada"), await world.enter("ada")
    async with asyncio.timeout(PATIENCE):
        while await world.elsewhere(there) != 200:
            await asyncio.sleep(0.01)
    body = {"old_password": PASSWORD, "new_password": "an other word"}
    answer = await world.ask(here, "PUT", "/v1/users/me/password", body)
    assert answer.status_code == 204, answer.text
    token = answer.cookies["access_token"]
    await world.becomes(403, there)
    assert await world.refreshed(there) == 401
    # this session goes on, with a new access token
    going_on = Person("ada", here.user_id, {"Authorization": f"Bearer {token}"}, here.refresh)
    assert (await world.ask(going_on, "GET", "/v1/users/me")).status_code == 200
    assert await world.refreshed(here) == 200
    assert (await login(world.auth, "ada")).status_code == 401
    assert (await world.enter("ada", "an other word")).user_id == here.user_id


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("not the word", "an other word", "old_password"),
        ("", "an other word", "old_password"),
        (PASSWORD, "short", "new_password"),
        (PASSWORD, "BartBart", "new_password"),
        (PASSWORD, 5, "new_password"),
    ],
)
async def test_a_refused_change_says_why_and_changes_nothing(
    world: World, old: str, new: object, field: str
) -> None:
    name = "bartbart"
    if (await login(world.auth, name)).status_code == 401:
        await register(world.auth, name)
    person = await world.enter(name)
    before = await _stored(world.infra, person)
    body = {"old_password": old, "new_password": new}
    answer = await world.ask(person, "PUT", "/v1/users/me/password", body)
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, [field])
    assert await _stored(world.infra, person) == before
    assert await world.elsewhere(person) == 200
    await world.enter(name)


async def test_the_old_password_cannot_be_guessed_here_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await world.new("carol")
    monkeypatch.setenv("KERMA_AUTH_FAILURES_BY_NAME_AND_ADDRESS", "2 per 5 minutes")
    async with replica(world.infra, "192.0.2.4") as client:
        body = {"old_password": "a guess", "new_password": "an other word"}
        answers = [
            await client.put("/v1/users/me/password", json=body, headers=person.access)
            for _ in range(3)
        ]
    assert [answer.status_code for answer in answers] == [400, 400, 429]


async def test_two_changes_at_once_leave_one_password_that_works(world: World) -> None:
    person = await world.new("dora")
    words = ["word number one", "word number two"]
    answers = await asyncio.gather(
        *(
            world.ask(
                person,
                "PUT",
                "/v1/users/me/password",
                {"old_password": PASSWORD, "new_password": word},
            )
            for word in words
        )
    )
    # the later one finds the password changed, or its token void
    winner = [answer.status_code for answer in answers].index(204)
    assert answers[1 - winner].status_code in {400, 403, 409}
    logins = [(await login(world.auth, "dora", word)).status_code for word in words]
    assert logins == [202 if number == winner else 401 for number in range(2)]
    assert len(await _stored(world.infra, person)) == 1


async def test_no_session_outlives_a_changed_password_though_the_database_fails_after_it(
    world: World,
) -> None:
    here, there = await world.new("dirk"), await world.enter("dirk")
    administration = handlers_of(world.infra).administration

    class Failing:
        """Sessions that can be ended once."""

        def __init__(self) -> None:
            self.calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(administration.sessions, name)

        async def end_all(self, *arguments: Any) -> Any:
            self.calls += 1
            if self.calls > 1:
                raise Unavailable("the database is away")
            return await administration.sessions.end_all(*arguments)

    sessions: Any = Failing()
    token = here.access["Authorization"].removeprefix("Bearer ")
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    failing = replace(administration, sessions=sessions)
    with pytest.raises(Unavailable):
        await failing.change_password(session, PASSWORD, "an other word", "", "r")
    assert sessions.calls == 2
    last = (await world.infra.log.state("AUTH")).last
    assert await world.infra.positions.wait("users", "AUTH", last)
    assert (await login(world.auth, "dirk", "an other word")).status_code == 202
    world.auth.cookies.clear()
    assert await world.refreshed(there) == 401
    assert await world.refreshed(here) == 200


async def test_a_login_that_races_with_a_reset_leaves_no_session(world: World) -> None:
    operator, person = await world.new("oscar", "operator"), await world.new("race")
    password = PASSWORD
    for number in range(5):
        reset = f"reset to number {number}"
        path = f"/v1/users/{person.user_id}/password-reset"
        raced, done = await asyncio.gather(
            login(world.auth, "race", password),
            world.ask(operator, "POST", path, {"password": reset}),
        )
        assert done.status_code == 200
        if raced.status_code == 202:
            headers = {"Authorization": f"Bearer {raced.cookies['access_token']}"}
            assert (await world.auth.get("/v1/users/me", headers=headers)).status_code == 403
            refresh = {"Cookie": f"refresh_token={raced.cookies['refresh_token']}"}
            assert (await world.auth.get("/auth/refresh", headers=refresh)).status_code == 401
        password = reset


async def test_a_disabled_account_is_refused_everywhere_until_it_is_enabled(world: World) -> None:
    operator, person = await world.new("olga", "operator"), await world.new("erin")
    await world.becomes(200, person)
    path = f"/v1/users/{person.user_id}"
    answer = await world.ask(operator, "POST", f"{path}/disable")
    assert (answer.status_code, answer.json()["disabled"]) == (200, True)
    assert (await world.ask(person, "GET", "/v1/users/me")).status_code == 403
    await world.becomes(403, person)
    assert await world.refreshed(person) == 401
    refused = await login(world.auth, "erin")
    assert (refused.status_code, refused.json()["message"]) == (403, "This account is disabled")
    wrong = await login(world.auth, "erin", "not the word")
    assert wrong.json() == (await login(world.auth, "no such name", "not the word")).json()
    assert (await world.ask(operator, "POST", f"{path}/disable")).status_code == 200
    answer = await world.ask(operator, "POST", f"{path}/enable")
    assert (answer.status_code, answer.json()["disabled"]) == (200, False)
    # sessions from before have ended
    assert await world.elsewhere(person) == 403
    again = await world.enter("erin")
    await world.becomes(200, again)


async def test_requests_of_one_id_all_take_effect(world: World) -> None:
    """Clients choose the ids of their requests, and may give several requests one."""
    operator, person = await world.new("ottilie", "operator"), await world.new("francesca")
    headers = {**operator.access, "X-Request-Id": "always-the-same"}
    path = f"/v1/users/{person.user_id}"
    for what, disabled in (("disable", True), ("enable", False), ("disable", True)):
        answer = await world.auth.post(f"{path}/{what}", headers=headers)
        assert (answer.status_code, answer.json()["disabled"]) == (200, disabled)
    refused = await login(world.auth, "francesca")
    assert refused.status_code == 403
    await world.auth.post(f"{path}/enable", headers=headers)
    for _ in range(2):
        answer = await world.auth.post(f"{path}/password-reset", headers=headers, json={})
        assert answer.status_code == 200, answer.text
        await world.enter("francesca", answer.json()["password"])


async def test_roles_are_granted_by_admins_and_taken_from_tokens_in_use(world: World) -> None:
    admin, person = await world.new("alma", "admin"), await world.new("frank")
    path = f"/v1/users/{person.user_id}/roles/operator"
    assert (await world.ask(person, "GET", "/v1/users")).status_code == 403
    answer = await world.ask(admin, "PUT", path)
    assert (answer.status_code, answer.json()["roles"]) == (200, ["operator"])
    operator = await world.enter("frank")
    assert (await world.ask(operator, "GET", "/v1/users")).status_code == 200
    assert (await world.ask(operator, "PUT", path)).status_code == 403
    assert (await world.ask(admin, "DELETE", path)).status_code == 200
    assert (await world.ask(operator, "GET", "/v1/users")).status_code == 403
    # the session goes on, without the role
    assert (await world.ask(operator, "GET", "/v1/users/me")).json()["roles"] == []
    own = f"/v1/users/{admin.user_id}"
    refused = await world.ask(admin, "DELETE", f"{own}/roles/admin")
    assert (refused.status_code, refused.json()["code"]) == (409, "OWN_ACCOUNT")
    refused = await world.ask(admin, "POST", f"{own}/disable")
    assert (refused.status_code, refused.json()["code"]) == (409, "OWN_ACCOUNT")


async def test_an_operator_has_no_way_to_become_an_admin(world: World) -> None:
    admin, operator = await world.new("anna", "admin"), await world.new("otto", "operator")
    before = await _stored(world.infra, admin)
    for method, path in (
        ("POST", f"{admin.user_id}/password-reset"),
        ("POST", f"{admin.user_id}/disable"),
        ("PUT", f"{operator.user_id}/roles/admin"),
        ("DELETE", f"{admin.user_id}/roles/admin"),
    ):
        body: dict[str, str] | None = {} if path.endswith("reset") else None
        answer = await world.ask(operator, method, f"/v1/users/{path}", body)
        assert answer.status_code == 403, path
    assert await _stored(world.infra, admin) == before
    assert await world.elsewhere(admin) == 200


async def test_operators_create_accounts_and_see_them_page_by_page(world: World) -> None:
    operator = await world.new("opal", "operator")
    made = await world.ask(operator, "POST", "/v1/users", {"username": "hired"})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    hired = await world.enter("hired", made.json()["password"])
    assert hired.user_id == made.json()["id"]
    again = await world.ask(operator, "POST", "/v1/users", {"username": "HIRED"})
    assert (again.status_code, again.json()["code"]) == (409, "USER_EXISTS")
    seen: dict[str, str] = {}
    where: str | None = "?limit=2"
    while where is not None:
        page = (await world.ask(operator, "GET", f"/v1/users{where}")).json()
        assert len(page["items"]) <= 2
        seen |= {user["id"]: user["username"] for user in page["items"]}
        where = page["next"] and f"?limit=2&cursor={page['next']}"
    assert seen[hired.user_id] == "hired"
    assert list(seen) == sorted(seen)
    one = await world.ask(operator, "GET", f"/v1/users/{hired.user_id}")
    assert (one.json()["username"], one.json()["source"]) == ("hired", "native")
    missing = await world.ask(operator, "GET", f"/v1/users/{'0' * 32}")
    assert missing.status_code == 404
    reset = await world.ask(operator, "POST", f"/v1/users/{hired.user_id}/password-reset", {})
    await world.enter("hired", reset.json()["password"])


async def _stored(infra: Infra, person: Person) -> list[str]:
    found = select(CREDENTIAL.c.secret_hash).where(CREDENTIAL.c.user_id == person.user_id)
    async with infra.db.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(CREDENTIAL))
        return sorted(await connection.scalars(found))


async def test_a_user_who_was_created_is_not_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await world.new("oskar", "operator")
    async with held(world.infra.db, "users"):
        created = await world.ask(operator, "POST", "/v1/users", {"username": "newcomer"})
        assert created.status_code == 201, created.text
        path = f"/v1/users/{created.json()['id']}"
        monkeypatch.setattr(lateness, "PATIENCE_SECONDS", 0.05)
        early = await world.ask(operator, "GET", path)
        assert (early.status_code, early.headers["Retry-After"]) == (503, "1")
        unknown = await world.ask(operator, "GET", f"/v1/users/{'0' * 32}")
        assert unknown.status_code == 404
    monkeypatch.undo()
    shown = await world.ask(operator, "GET", path)
    assert (shown.status_code, shown.json()["username"]) == (200, "newcomer")
