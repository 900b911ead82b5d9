"""An operator removes a user: nothing acts for that user any more, and nobody inherits anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from kerma_auth.adapters.session_vault import SESSION
from kerma_auth.adapters.token_labels import LABEL
from kerma_auth.adapters.vault import CREDENTIAL
from kerma_auth.domain.user import SYSTEM, USER, User
from kerma_auth.main import handlers_of
from kerma_common.contracts.events.jobs import OwnerJobsDeleted
from kerma_common.contracts.subjects import owner_subject, user_subject
from kerma_common.errors import DomainRejected, Unavailable
from kit.running.worlds.accounts import PASSWORD, login, register
from kit.running.worlds.jobs_world import append
from kit.running.worlds.people import Person, World, people

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    async with people(nats_url, postgres_url, tmp_path_factory.mktemp("blobs")) as made:
        yield made


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
    for attempt in (
        alone.start(second.user_id, SYSTEM, "admin", "r1"),
        alone.remove(second.user_id, SYSTEM, "admin", "r2", jobs),
    ):
        with pytest.raises(DomainRejected) as refused:
            await attempt
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
    assert (await rows(world, carl))[0] == 1
    assert await registers(world, "carl") == 403
    assert await removed(world, operator, carl) == 204
    assert await rows(world, carl) == [0, 0, 0]


async def test_a_name_is_freed_for_one_of_two_who_ask_at_once(world: World) -> None:
    operator, dora = await world.new("onno", "operator"), await world.new("dora")
    assert await removed(world, operator, dora) == 204
    removal = (await state_of(world, dora)).leaving
    await jobs_are_deleted(world, dora, removal)
    names = handlers_of(world.infra).accounts.names
    assert await names.release(dora.user_id)
    await register(world.auth, "dora")
    # one that had looked before
    stale = replace(names, bus=_Late(names.bus, User(leaving=removal)))  # type: ignore[arg-type]
    assert await stale.release(dora.user_id)
    assert (await state_of(world, dora)).registered
    assert (await login(world.auth, "dora")).status_code == 202
    world.auth.cookies.clear()


class _Late:
    """A bus whose states are of a moment before."""

    def __init__(self, bus: object, user: User) -> None:
        self._bus, self._user = bus, user

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def state(self, *_: object) -> tuple[User, int]:
        return self._user, 0
