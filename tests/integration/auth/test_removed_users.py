"""An operator removes a user: nothing acts for that user any more, and nobody inherits anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NoReturn

import httpx
import pytest
from sqlalchemy import func, select

from kerma_allinone.admin.users import user_id_of
from kerma_auth.adapters.session_vault import SESSION
from kerma_auth.adapters.token_labels import LABEL
from kerma_auth.adapters.vault import CREDENTIAL
from kerma_auth.domain.account import ACCOUNT
from kerma_auth.domain.user import SYSTEM, USER, By, User
from kerma_auth.main import handlers_of
from kerma_auth.read.users import UserQueries
from kerma_common.contracts.events.jobs import OwnerJobsDeleted
from kerma_common.contracts.subjects import account_subject, owner_subject, user_subject
from kerma_common.errors import DomainRejected, Forbidden, Unavailable
from kit.running.worlds.accounts import PASSWORD, login, register
from kit.running.worlds.jobs_world import append
from kit.running.worlds.people import Person, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def state_of(world: World, person: Person) -> User:
    return (await world.infra.bus.state(USER, user_subject(person.user_id)))[0]


async def removed(world: World, by: Person, person: Person) -> int:
    answer = await world.ask(by, "DELETE", f"/v1/users/{person.user_id}")
    return answer.status_code


async def registers(world: World, name: str) -> int:
    body = {"username": name, "password": PASSWORD}
    return (await world.auth.put("/auth/register", json=body)).status_code


async def jobs_are_deleted(world: World, person: Person, removal: str) -> None:
    event = OwnerJobsDeleted(user_id=person.user_id, removal=removal)
    await append(world.infra, owner_subject(person.user_id), event)


async def rows(world: World, person: Person) -> list[int]:
    async with world.infra.db.connect() as connection:
        return [
            await connection.scalar(
                select(func.count()).select_from(table).where(table.c.user_id == person.user_id)
            )
            or 0
            for table in (CREDENTIAL, SESSION, LABEL)
        ]


async def test_everything_of_a_removed_user_is_void_everywhere_and_forgotten(world: World) -> None:
    operator, ada = await world.new("olga", "operator"), await world.new("ada", "staff")
    other = await world.enter("ada")
    made = await world.ask(ada, "POST", "/v1/tokens", {"label": "script"})
    script = Person("ada", ada.user_id, {"Authorization": f"Bearer {made.json()['token']}"}, {})
    assert await world.elsewhere(script) == 200
    for _ in range(2):  # a repetition changes nothing
        assert await removed(world, operator, ada) == 204
    for person in (ada, other):
        await world.becomes(403, person)
        assert await world.refreshed(person) in {401, 403}
    await world.becomes(403, script)
    assert await rows(world, ada) == [0, 0, 0]
    assert (await login(world.auth, "ada")).status_code == 401
    world.auth.cookies.clear()
    assert (await world.ask(operator, "GET", f"/v1/users/{ada.user_id}")).status_code == 404
    listed = await world.ask(operator, "GET", "/v1/users?limit=1000")
    assert ada.user_id not in listed.text
    for change in ("enable", "disable", "password-reset"):
        path = f"/v1/users/{ada.user_id}/{change}"
        body: dict[str, str] | None = {} if change == "password-reset" else None
        assert (await world.ask(operator, "POST", path, body)).status_code == 404


async def test_the_name_is_free_once_the_jobs_are_deleted_and_its_user_is_new(
    world: World,
) -> None:
    operator, bob = await world.new("omar", "operator"), await world.new("bob", "staff")
    assert await removed(world, operator, bob) == 204
    removal = (await state_of(world, bob)).leaving
    assert await registers(world, "BOB") == 403
    await jobs_are_deleted(world, bob, "another")
    assert await registers(world, "bob") == 403
    await jobs_are_deleted(world, bob, removal)
    assert await registers(world, "bob") == 201
    assert await registers(world, "bob") == 403
    heir = await world.enter("bob")
    assert await world.elsewhere(heir) == 200
    assert (await world.ask(heir, "GET", "/v1/users/me")).json()["roles"] == []
    assert await world.elsewhere(bob) == 403
    # what was said of the first one is not about the second
    assert await removed(world, operator, heir) == 204
    assert await registers(world, "bob") == 403


async def test_who_may_be_removed_and_by_whom(world: World) -> None:
    admin, operator = await world.new("anna", "admin"), await world.new("otto", "operator")
    second, user = await world.new("oskar", "operator"), await world.new("uwe")
    nobody = Person("nobody", "0" * 32, {}, {})
    assert await removed(world, user, operator) == 403
    assert await removed(world, user, user) == 403
    assert await removed(world, operator, second) == 403
    assert await removed(world, operator, admin) == 403
    assert await removed(world, operator, operator) == 403
    assert await removed(world, admin, admin) == 409
    assert await removed(world, operator, nobody) == 404
    assert (await world.ask(operator, "DELETE", "/v1/users/none")).status_code == 400
    for person in (admin, operator, second, user):
        assert await world.elsewhere(person) == 200
    assert await removed(world, admin, second) == 204
    await world.becomes(403, second)


async def test_the_last_admin_is_not_removed_not_even_by_the_machine(world: World) -> None:
    removals = handlers_of(world.infra).removals
    first = await world.new("alma", "admin")
    second = await world.new("arno", "admin")
    settled = (await world.infra.log.state("AUTH")).last
    assert await world.infra.positions.wait("users", "AUTH", settled)
    assert await removals.users.others_with("admin", first.user_id)

    class Nobody:
        async def others_with(self, role: str, but: str) -> bool:
            return False

    async def jobs() -> None:
        raise AssertionError

    alone = replace(removals, users=Nobody())
    with pytest.raises(DomainRejected) as refused:
        await alone.start(second.user_id, SYSTEM, "admin", "r1", jobs)
    assert refused.value.code == "LAST_ADMIN"
    assert await world.elsewhere(second) == 200


async def test_a_removal_that_was_interrupted_is_completed_by_a_repetition(world: World) -> None:
    operator, carl = await world.new("olaf", "operator"), await world.new("carl")

    class Forgetful:
        def __init__(self, vault: object) -> None:
            self._vault = vault

        def __getattr__(self, name: str) -> Any:
            return getattr(self._vault, name)

        async def forget(self, user_id: str) -> NoReturn:
            raise Unavailable("not now")

    removals = handlers_of(world.infra).removals
    vault: Any = Forgetful(removals.vault)
    with pytest.raises(Unavailable):
        await replace(removals, vault=vault).start(carl.user_id, SYSTEM, "admin", "r")
    await world.becomes(403, carl)
    assert (await state_of(world, carl)).registered  # or nobody would forget the name
    assert (await rows(world, carl))[0] == 1
    assert await registers(world, "carl") == 403
    assert await removed(world, operator, carl) == 204
    assert await rows(world, carl) == [0, 0, 0]


async def test_a_name_is_freed_for_one_of_two_who_ask_at_once(world: World) -> None:
    operator, dora = await world.new("onno", "operator"), await world.new("dora")
    assert await removed(world, operator, dora) == 204
    removal = (await state_of(world, dora)).leaving
    await jobs_are_deleted(world, dora, removal)
    names, bus = handlers_of(world.infra).accounts.names, world.infra.bus
    looked: dict[str, Any] = {
        "user": await bus.state(USER, user_subject(dora.user_id)),
        "account": await bus.state(ACCOUNT, account_subject(dora.user_id)),
    }
    assert looked["account"][0].disabled
    assert await names.release(dora.user_id)
    await register(world.auth, "dora")
    # one that had looked before
    late_bus: Any = _Late(names.bus, looked)
    late_vault: Any = _LateVault(names.vault)
    late = replace(names, bus=late_bus, vault=late_vault)
    assert await late.release(dora.user_id)
    assert (await state_of(world, dora)).registered
    assert (await login(world.auth, "dora")).status_code == 202
    world.auth.cookies.clear()
    # nor does one who looked then let in a new user who was disabled meanwhile
    assert await disables(world, operator, dora) == 200
    assert await late.release(dora.user_id)
    assert not await may_act(world, dora)


async def test_what_was_stored_during_a_removal_is_forgotten_before_the_name_is_free(
    world: World,
) -> None:
    operator, emil = await world.new("orla", "operator"), await world.new("emil")
    assert await removed(world, operator, emil) == 204
    vault = handlers_of(world.infra).accounts.vault
    await vault.add_credential("c" * 32, emil.user_id, "emil", "a hash")
    await jobs_are_deleted(world, emil, (await state_of(world, emil)).leaving)
    assert await registers(world, "emil") == 201
    assert await vault.credential("c" * 32) is None
    assert (await rows(world, emil))[0] == 1
    await world.enter("emil")


async def test_a_removal_killed_after_forgetting_the_name_is_repeated_by_the_name(
    world: World,
) -> None:
    fred, removals = await world.new("Fred"), handlers_of(world.infra).removals
    bus: Any = _Deaf(removals.bus)
    with pytest.raises(Unavailable):
        await replace(removals, bus=bus).start(fred.user_id, SYSTEM, "admin", "r1")
    assert (await rows(world, fred))[:2] == [0, 0]
    for name in ("Fred", "FRED"):
        assert await user_id_of(handlers_of(world.infra), name) == fred.user_id
    await removals.start(fred.user_id, SYSTEM, "admin", "r2")
    assert (await state_of(world, fred)).leaving


async def test_a_key_of_a_removed_user_makes_and_tells_nothing(world: World) -> None:
    operator = await world.new("odin", "operator")
    headers = {**operator.access, "Idempotency-Key": "gwen"}

    async def creates() -> httpx.Response:
        return await world.auth.post("/v1/users", json={"username": "gwen"}, headers=headers)

    made = await creates()
    assert made.status_code == 201
    gwen = Person("gwen", made.json()["id"], {}, {})
    assert await removed(world, operator, gwen) == 204
    assert (await creates()).status_code == 409
    await jobs_are_deleted(world, gwen, (await state_of(world, gwen)).leaving)
    assert (await creates()).status_code == 422
    assert await rows(world, gwen) == [0, 0, 0]
    assert not (await state_of(world, gwen)).registered
    assert await registers(world, "gwen") == 201


@pytest.mark.parametrize("change", ["remove", "disable"])
async def test_of_two_admins_who_shut_each_other_out_at_once_one_stays(
    world: World, change: str
) -> None:
    pair = [await world.new(f"{change}-{name}", "admin") for name in ("one", "two")]
    made = handlers_of(world.infra)
    only: Any = _Only(made.users, [admin.user_id for admin in pair])
    administration = replace(made.administration, users=only)
    both_have_asked: Any = _Meeting(only)
    removals = replace(made.removals, users=both_have_asked, administration=administration)

    async def shuts_out(admin: Person, other: Person) -> int:
        by = By(admin.user_id, frozenset({"admin"}))
        if change == "disable":
            return await administration.disable(other.user_id, by, admin.name)
        return await removals.start(other.user_id, by, admin.name, admin.name)

    outcomes = await asyncio.gather(
        shuts_out(*pair), shuts_out(*reversed(pair)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if not isinstance(outcome, int)]
    assert {getattr(no, "code", no) for no in refused} == {"LAST_ADMIN"}
    acting = [admin for admin in pair if await may_act(world, admin)]
    assert len(acting) == len(refused)


async def test_a_login_during_a_disable_leaves_no_session(world: World) -> None:
    operator, hugo = await world.new("orest", "operator"), await world.new("hugo")
    sessions = handlers_of(world.infra).sessions
    checked: Any = _DisabledAfter(sessions.login, lambda: disables(world, operator, hugo))
    with pytest.raises(Forbidden):
        await replace(sessions, login=checked).open("hugo", PASSWORD, "192.0.2.7")
    assert await sessions.listed(hugo.user_id) == []


async def disables(world: World, by: Person, person: Person) -> int:
    path = f"/v1/users/{person.user_id}/disable"
    return (await world.ask(by, "POST", path)).status_code


async def may_act(world: World, person: Person) -> bool:
    account, _ = await world.infra.bus.state(ACCOUNT, account_subject(person.user_id))
    return (await state_of(world, person)).registered and not account.disabled


class _Stand:
    """Another object, but for what differs."""

    def __init__(self, other: object) -> None:
        self._other: Any = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


class _Late(_Stand):
    """A bus whose states are of a moment before."""

    def __init__(self, bus: object, states: dict[str, Any]) -> None:
        super().__init__(bus)
        self._states = states

    async def state(self, aggregate: Any, _: object) -> Any:
        return self._states[aggregate.name]


class _LateVault(_Stand):
    """A vault as of a moment before."""

    async def credentials_of(self, _: str) -> tuple[str, ...]:
        return ()


class _Deaf(_Stand):
    """A bus that stores nothing."""

    async def execute(self, *_: object) -> NoReturn:
        raise Unavailable("not now")


class _Only:
    """Users, of whom some alone count as admins."""

    def __init__(self, users: UserQueries, ids: list[str]) -> None:
        self._users, self._ids = users, ids

    async def others_with(self, role: str, but: str) -> bool:
        found = await self._users.accounts_of([user for user in self._ids if user != but])
        return any(role in user.roles and not user.disabled for user in found.values())


class _Meeting(_Stand):
    """Answers two questions only once both were asked."""

    def __init__(self, users: object) -> None:
        super().__init__(users)
        self._both = asyncio.Barrier(2)

    async def others_with(self, role: str, but: str) -> bool:
        found: bool = await self._other.others_with(role, but)
        await self._both.wait()
        return found


class _DisabledAfter(_Stand):
    """A login after whose check something happens."""

    def __init__(self, login: object, happens: Callable[[], Awaitable[int]]) -> None:
        super().__init__(login)
        self._happens = happens

    async def check(self, *given: object) -> Any:
        checked = await self._other.check(*given)
        assert await self._happens() == 200
        return checked
