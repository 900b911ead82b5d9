"""What one user may have: tokens, sessions, and logins in a time; what is over is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import Column, MetaData, Table, Text, func, insert, select, true
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from kerma_auth.adapters.keycloak.ssh_vault import SSH_CREDENTIAL
from kerma_auth.adapters.passwords.windows import ATTEMPT
from kerma_auth.adapters.session_vault import SESSION
from kerma_auth.adapters.token_labels import LABEL
from kerma_auth.main import STALE, handlers_of
from kerma_common.commands.bus import CommandBus
from kerma_common.db.sweeping import MOST_ROWS, Stale, Sweeper
from kerma_common.errors import Unavailable
from kerma_common.infra import Infra
from kit.programs.family import PATIENCE
from kit.running.worlds.accounts import PASSWORD, auth_service, login, register

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR = timedelta(hours=1)
World = tuple[httpx.AsyncClient, Infra]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_TOKENS_BY_USER", "3")
        patch.setenv("KERMA_AUTH_TOKEN_CREATIONS_BY_USER", "9 per hour")
        patch.setenv("KERMA_AUTH_SESSIONS_BY_USER", "3")
        patch.setenv("KERMA_AUTH_LOGINS_BY_USER", "6")
        async with auth_service(nats_url, postgres_url, tmp_path_factory.mktemp("blobs")) as found:
            yield found


class Unwritable:
    """A bus that reads, and stores nothing."""

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def execute(self, *_: object, **__: object) -> NoReturn:
        raise Unavailable("not now")


async def size(connection: AsyncConnection, table: Table) -> int:
    return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def entered(client: httpx.AsyncClient, name: str) -> dict[str, str]:
    await register(client, name)
    answer = await login(client, name)
    client.cookies.clear()
    return {"Authorization": f"Bearer {answer.cookies['access_token']}"}


async def test_a_user_has_a_bounded_number_of_tokens_also_of_requests_at_once(auth: World) -> None:
    client, _ = auth
    jane, joan = await entered(client, "jane"), await entered(client, "joan")

    async def create(person: dict[str, str], **more: str) -> httpx.Response:
        return await client.post("/v1/tokens", json={"label": "t"}, headers={**person, **more})

    keyed = await create(jane, **{"Idempotency-Key": "first"})
    answers = await asyncio.gather(*(create(jane) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert (refused["code"], "3 tokens" in refused["detail"]) == ("TOO_MANY_TOKENS", True)
    listed = (await client.get("/v1/tokens", headers=jane)).json()["items"]
    assert len(listed) == 3
    # a repetition is not another token
    again = await create(jane, **{"Idempotency-Key": "first"})
    assert again.content == keyed.content
    assert (await create(joan)).status_code == 201
    # there is room again
    path = f"/v1/tokens/{keyed.json()['id']}"
    assert (await client.delete(path, headers=jane)).status_code == 204
    assert (await create(jane)).status_code == 201
    # the tenth attempt of the hour
    assert (await create(jane)).status_code == 409
    often = await create(jane)
    assert (often.status_code, int(often.headers["retry-after"]) > 3500) == (429, True)
    assert "API tokens" in often.json()["detail"]
    assert (await create(joan)).status_code == 201


async def test_with_too_many_sessions_the_one_used_longest_ago_ends(auth: World) -> None:
    client, infra = auth
    await register(client, "kim")
    logins = [(await login(client, "kim")).cookies for _ in range(3)]
    client.cookies.clear()
    first = {"Cookie": f"refresh_token={logins[0]['refresh_token']}"}
    refreshed = await client.get("/auth/refresh", headers=first)
    assert refreshed.status_code == 200
    assert (await login(client, "kim")).status_code == 202
    client.cookies.clear()
    last = (await infra.log.state("AUTH")).last
    assert await infra.identity.wait(last)

    async def status(access: str) -> int:
        sent = {"Authorization": f"Bearer {access}"}
        return (await client.get("/auth/status", headers=sent)).status_code

    assert await status(refreshed.cookies["access_token"]) == 200  # used after the second
    assert await status(logins[1]["access_token"]) == 403
    assert await status(logins[2]["access_token"]) == 200
    second = {"Cookie": f"refresh_token={logins[1]['refresh_token']}"}
    assert (await client.get("/auth/refresh", headers=second)).status_code == 401


async def test_a_login_that_fails_ends_no_session_in_this_service_alone(auth: World) -> None:
    client, infra = auth
    oldest = await entered(client, "kay")
    for _ in range(2):
        assert (await login(client, "kay")).status_code == 202
    client.cookies.clear()
    sessions = handlers_of(infra).sessions
    bus: Any = Unwritable(infra.bus)
    with pytest.raises(Unavailable):
        await replace(sessions, bus=bus).open("kay", PASSWORD, "")
    user_id = sessions.login.vault.user_id("native", "kay")
    assert len(await sessions.listed(user_id)) == 3
    assert (await client.get("/auth/status", headers=oldest)).status_code == 200
    assert (await login(client, "kay")).status_code == 202
    client.cookies.clear()
    assert len(await sessions.listed(user_id)) == 3
    assert await infra.identity.wait((await infra.log.state("AUTH")).last)
    assert (await client.get("/auth/status", headers=oldest)).status_code == 403


async def test_a_session_that_ended_in_this_service_alone_ends_everywhere_with_its_next_refresh(
    auth: World,
) -> None:
    client, infra = auth
    await register(client, "kit")
    opened = (await login(client, "kit")).cookies
    client.cookies.clear()
    access = {"Authorization": f"Bearer {opened['access_token']}"}
    refresh = {"Cookie": f"refresh_token={opened['refresh_token']}"}
    assert (await client.get("/auth/refresh", headers=refresh)).status_code == 200
    client.cookies.clear()
    handlers = handlers_of(infra).sessions
    later = replace(handlers, clock=lambda: infra.clock() + timedelta(minutes=1))
    bus: Any = Unwritable(infra.bus)
    with pytest.raises(Unavailable):  # a replaced token is used, and the log is away
        await replace(later, bus=bus).refresh(opened["refresh_token"])
    assert (await client.get("/auth/status", headers=access)).status_code == 200
    assert (await client.get("/auth/refresh", headers=refresh)).status_code == 401
    assert await infra.identity.wait((await infra.log.state("AUTH")).last)
    assert (await client.get("/auth/status", headers=access)).status_code == 403


async def test_a_user_logs_in_a_bounded_number_of_times_in_two_hours(auth: World) -> None:
    client, _ = auth
    await register(client, "liz")
    statuses = [(await login(client, "liz")).status_code for _ in range(7)]
    assert statuses == [202] * 6 + [429]
    await register(client, "lea")
    assert (await login(client, "lea")).status_code == 202


async def test_what_is_over_is_deleted_by_one_process_and_a_part_at_a_time(auth: World) -> None:
    client, infra = auth
    mia = await entered(client, "mia")
    made = await client.post("/v1/tokens", json={"label": "kept"}, headers=mia)
    assert made.status_code == 201
    now = infra.clock()
    time = {"expires": now - HOUR}
    names = [f"{number:032x}" for number in range(MOST_ROWS + 5)]
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (SESSION, [{"session_id": n, "user_id": n, "username": n, **time} for n in names]),
        (LABEL, [{"token_id": "f" * 16, "label": "over", "user_id": "u", **time}]),
        (ATTEMPT, [{"key": "over", "count": 1, **time}]),
        (SSH_CREDENTIAL, [{"user_id": "u", "wrapped": b"", "obtained": now, **time}]),
    ]
    async with infra.db.begin() as connection:
        for table, values in rows:
            await connection.execute(insert(table), values)
        before = [await size(connection, t) for t, _ in rows]
    sweepers = [Sweeper("auth", infra.db, STALE) for _ in range(2)]
    async with infra.db.begin() as another:  # while someone else sweeps, nobody does
        held = func.pg_advisory_xact_lock(func.hashtextextended("sweep auth", 0))
        await another.execute(select(held))
        assert await sweepers[0].sweep() == 0
    assert sum(await asyncio.gather(*(s.sweep() for s in sweepers))) >= MOST_ROWS + 8
    assert await sweepers[0].sweep() == 0
    async with infra.db.connect() as connection:
        after = [await size(connection, t) for t, _ in rows]
        labels = (await connection.execute(select(LABEL.c.label))).scalars().all()
    assert [b - a for b, a in zip(before, after, strict=True)] == [len(v) for _, v in rows]
    assert "kept" in labels
    assert (await client.get("/auth/status", headers=mia)).status_code == 200


async def test_a_database_that_fails_does_not_end_the_sweeper(
    auth: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, infra = auth
    missing = Table(
        "not_there", MetaData(schema="auth_vault"), Column("key", Text, primary_key=True)
    )
    sweeps = iter((0.0, 0.0))
    swept = asyncio.Event()

    def until(_: float) -> float:
        if (seconds := next(sweeps, None)) is None:
            swept.set()
            return 3600.0
        return seconds

    monkeypatch.setattr("kerma_common.db.sweeping.until_next", until)
    sweeper = Sweeper("auth", infra.db, [Stale(missing, true())])
    with pytest.raises(ProgrammingError):
        await sweeper.sweep()
    task = asyncio.create_task(sweeper.run())
    async with asyncio.timeout(PATIENCE):
        await swept.wait()
    assert not task.done()
    task.cancel()
