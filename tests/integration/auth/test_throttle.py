"""Failed logins are counted per name and address, by all replicas, whether the name exists or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, update

from kerma_auth.adapters.passwords.hashes import threads
from kerma_auth.adapters.passwords.windows import ATTEMPT
from kerma_common.infra import Infra
from kerma_common.settings import HttpSettings
from kit.running.worlds.accounts import auth_service, login, register, replica

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_FAILURES_BY_NAME_AND_ADDRESS", "3 per 5 minutes")
        patch.setenv("KERMA_AUTH_FAILURES_BY_NAME", "6 per hour")
        patch.setenv("KERMA_AUTH_FAILURES_BY_ADDRESS", "8 per 5 minutes")
        patch.setenv("KERMA_AUTH_FAILURES_BY_ADDRESS_IN_ALL", "12 per hour")
        patch.setenv("KERMA_AUTH_REGISTRATIONS_BY_ADDRESS", "7 per hour")
        blobs = tmp_path_factory.mktemp("blobs")
        async with auth_service(nats_url, postgres_url, blobs) as found:
            yield found


async def _windows_end(infra: Infra) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    async with infra.db.begin() as connection:
        await connection.execute(update(ATTEMPT).values(expires=past))


async def test_a_name_that_fails_too_often_is_locked_out_alike_whether_it_exists_or_not(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    await register(client, "ada")
    async with replica(infra, "192.0.2.1") as guesser, replica(infra, "192.0.2.2") as owner:
        bodies = []
        for name in ("ada", "nobody"):
            answers = [await login(guesser, name, f"guess-{n}") for n in range(4)]
            assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
            assert 290 < int(answers[-1].headers["retry-after"]) <= 300
            bodies.append([answer.json() for answer in answers])
        assert bodies[0] == bodies[1]
        # also with the right password, under any spelling, and on every replica
        assert (await login(guesser, "ADA")).status_code == 429
        async with replica(infra, "192.0.2.1") as other:
            assert (await login(other, "ada")).status_code == 429
        # from elsewhere the owner still gets in
        assert (await login(owner, "ada")).status_code == 202
        await _windows_end(infra)
        assert (await login(guesser, "ada")).status_code == 202


async def test_the_right_password_forgets_the_failures_before_it(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    await register(client, "bob")
    async with replica(infra, "192.0.2.3") as owner:
        for _ in range(2):
            for number in range(2):
                assert (await login(owner, "bob", f"typo-{number}")).status_code == 401
            assert (await login(owner, "bob")).status_code == 202


async def test_a_name_that_fails_from_many_addresses_is_locked_everywhere(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    await register(client, "carol")
    for number in range(6):
        async with replica(infra, f"198.51.100.{number}") as guesser:
            assert (await login(guesser, "carol", "wrong-guess")).status_code == 401
    async with replica(infra, "203.0.113.1") as owner:
        locked = await login(owner, "carol")
    assert locked.status_code == 429
    assert 3500 < int(locked.headers["retry-after"]) <= 3600


async def test_an_address_that_fails_often_locks_the_names_that_failed_there_and_no_others(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    await register(client, "dave")
    # one IPv6 host has a network of addresses
    async with replica(infra, "2001:db8::1") as guesser, replica(infra, "2001:db8::2") as same:
        for number in range(8):
            answer = await login((guesser, same)[number % 2], f"name-{number}", "a guess")
            assert answer.status_code == 401
        # one failure is enough now
        assert (await login(same, "name-3", "another")).status_code == 429
        # others share the address, such as all users behind a proxy whose word is not trusted
        assert (await login(same, "dave")).status_code == 202
        assert (await login(same, "dave", "a typo")).status_code == 401
        assert (await login(same, "dave")).status_code == 429
    async with replica(infra, "2001:db8:1::1") as other:
        assert (await login(other, "dave")).status_code == 202


@pytest.mark.parametrize("trusted", [True, False])
async def test_one_password_is_tried_with_a_bounded_number_of_names_from_an_address(
    auth: tuple[httpx.AsyncClient, Infra], *, trusted: bool
) -> None:
    client, infra = auth
    name = f"at-the-institute-{trusted}"
    await register(client, name)
    settings = HttpSettings(trusted_proxies=("192.0.2.60",) if trusted else ())
    async with replica(infra, "192.0.2.60", settings) as proxied:
        proxied.headers["X-Forwarded-For"] = "203.0.113.60"
        for number in range(12):
            answer = await login(proxied, f"sprayed-{trusted}-{number}", "Spring-2026")
            assert answer.status_code == 401
        refused = await login(proxied, f"sprayed-{trusted}-12", "Spring-2026")
        assert (refused.status_code, int(refused.headers["retry-after"]) > 3500) == (429, True)
        # for everybody there, also with the right password
        assert (await login(proxied, name)).status_code == 429
        proxied.headers["X-Forwarded-For"] = "203.0.113.61"
        assert (await login(proxied, name)).status_code == (202 if trusted else 429)
        await _windows_end(infra)
        assert (await login(proxied, name)).status_code == 202


async def test_guesses_at_once_exceed_the_limit_by_the_hashes_at_once_only(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    client, infra = auth
    await register(client, "erin")
    async with replica(infra, "192.0.2.9") as guesser:
        answers = await asyncio.gather(*(login(guesser, "erin", f"g-{n}") for n in range(30)))
    checked = sum(answer.status_code == 401 for answer in answers)
    assert 3 <= checked <= 3 + threads() - 1
    assert {answer.status_code for answer in answers} == {401, 429}


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_client_behind_a_trusted_proxy_is_counted_by_its_own_address(
    auth: tuple[httpx.AsyncClient, Infra], *, trusted: bool
) -> None:
    client, infra = auth
    name = f"behind-{trusted}"
    await register(client, name)
    settings = HttpSettings(trusted_proxies=("192.0.2.50",) if trusted else ())
    async with replica(infra, "192.0.2.50", settings) as proxied:
        statuses = []
        for address in ["203.0.113.50"] * 4 + ["203.0.113.51"]:
            proxied.headers["X-Forwarded-For"] = f"10.9.8.7, {address}"
            statuses.append((await login(proxied, name, "guess-word")).status_code)
    assert statuses == [401, 401, 401, 429, 401 if trusted else 429]


async def test_registrations_of_an_address_are_bounded(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    _, infra = auth
    async with replica(infra, "192.0.2.77") as client:
        for number in range(7):
            await register(client, f"many-{number}")
        body = {"username": "many-7", "password": "long enough"}
        refused = await client.put("/auth/register", json=body)
        assert (refused.status_code, int(refused.headers["retry-after"]) > 3500) == (429, True)


async def test_counters_hold_neither_names_nor_addresses_and_are_deleted_when_over(
    auth: tuple[httpx.AsyncClient, Infra],
) -> None:
    _, infra = auth
    async with replica(infra, "192.0.2.99") as guesser:
        await login(guesser, "planted-password", "guess-1")
        await _windows_end(infra)
        await login(guesser, "other", "guess-2")
    async with infra.db.connect() as connection:
        rows = (await connection.execute(select(ATTEMPT))).all()
    assert len(rows) == 4
    assert "planted" not in repr(rows)
    assert "192.0.2" not in repr(rows)
