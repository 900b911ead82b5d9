"""The account of commands on this machine: made once, kept able to act, never somebody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from stat import S_IMODE

import httpx
import pytest
import pytest_asyncio

from kerma_allinone.admin import local
from kerma_allinone.admin.local import NAME, LocalAccess
from kerma_allinone.running import LocalAccount, account_file, password_file, read_account
from kerma_auth.domain.user import SYSTEM
from kerma_auth.main import Handlers, handlers_of
from kerma_common.infra import Infra
from kit.running.worlds.accounts import auth_service
from kit.running.worlds.services import MASTER_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    """Auth where nobody can register over HTTP."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_MASTER_KEY", MASTER_KEY)
        patch.setenv("KERMA_AUTH_OPEN_REGISTRATION", "false")
        async with auth_service(nats_url, postgres_url, tmp_path_factory.mktemp("blobs")) as found:
            yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory that the tests of this module share, in their order."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def infra(auth: tuple[httpx.AsyncClient, Infra]) -> Infra:
    return auth[1]


async def settled(infra: Infra) -> Handlers:
    """Return the use cases once reads show everything that is stored."""
    last = (await infra.log.state("AUTH")).last
    assert await infra.positions.wait("users", "AUTH", last)
    assert await infra.identity.wait(last)
    return handlers_of(infra)


async def prepared(data: Path, infra: Infra) -> LocalAccount:
    """Start on the data as ``kerma up`` does; return the account, which may act."""
    await LocalAccess(data, infra).prepare()
    account = read_account(data)
    assert account is not None
    await infra.verifier(account.token)
    await settled(infra)
    return account


async def id_of(account: LocalAccount, infra: Infra) -> str:
    return (await infra.verifier(account.token)).user_id


async def test_every_start_uses_one_account_and_one_token(
    auth: tuple[httpx.AsyncClient, Infra], data: Path, infra: Infra
) -> None:
    first = await prepared(data, infra)
    assert first.username == NAME
    assert await prepared(data, infra) == first
    sent = {"Authorization": f"Bearer {first.token}"}
    listed = (await auth[0].get("/v1/tokens", headers=sent)).json()["items"]
    assert [one["label"] for one in listed] == [local.LABEL]
    files = (account_file(data), password_file(data))
    assert [S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 2
    assert first.token not in repr(first)


async def test_an_account_of_an_earlier_release_is_used_on(data: Path, infra: Infra) -> None:
    earlier = await prepared(data, infra)
    user_id = await id_of(earlier, infra)
    account_file(data).unlink()  # only the password was kept
    assert await id_of(await prepared(data, infra), infra) == user_id


async def test_a_void_token_is_replaced(data: Path, infra: Infra) -> None:
    void = await prepared(data, infra)
    principal = await infra.verifier(void.token)
    assert principal.token_id is not None
    await handlers_of(infra).tokens.revoke(principal.user_id, principal.token_id, "r1")
    await settled(infra)
    assert await LocalAccess(data, infra).check()
    now = read_account(data)
    assert now is not None
    assert now.token != void.token
    assert await id_of(now, infra) == principal.user_id


async def test_a_token_near_its_end_is_replaced_and_stays_valid(
    data: Path, infra: Infra, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await prepared(data, infra)
    monkeypatch.setattr(local, "ENOUGH", local.LIFE + timedelta(days=1))
    new = await prepared(data, infra)
    assert new.token != old.token
    assert await id_of(old, infra) == await id_of(new, infra)


async def test_a_disabled_account_stays_disabled(
    data: Path, infra: Infra, caplog: pytest.LogCaptureFixture
) -> None:
    account = await prepared(data, infra)
    user_id = await id_of(account, infra)
    await handlers_of(infra).administration.disable(user_id, SYSTEM, "r2")
    auth = await settled(infra)
    access = LocalAccess(data, infra)
    await access.prepare()
    assert not await access.check()
    assert read_account(data) == account
    assert [r.getMessage() for r in caplog.records if r.name == local.__name__] == [
        "commands of this machine may be refused: This account is disabled"
    ]
    await auth.administration.enable(user_id, SYSTEM, "r3")
    await settled(infra)
    assert await access.check()


async def test_the_next_start_replaces_an_account_that_has_another_password(
    data: Path, infra: Infra
) -> None:
    account = await prepared(data, infra)
    principal = await infra.verifier(account.token)
    auth, user_id = handlers_of(infra), principal.user_id
    assert principal.token_id is not None
    await auth.tokens.revoke(user_id, principal.token_id, "r4")
    await auth.administration.reset_password(user_id, "a stranger's word", SYSTEM, "", "r5")
    await settled(infra)
    assert not await LocalAccess(data, infra).check()
    assert read_account(data) == account
    other = await prepared(data, infra)
    assert other.username.startswith(f"{NAME}-")
    assert await id_of(other, infra) != user_id


async def test_the_next_start_replaces_an_account_that_was_removed(
    data: Path, infra: Infra
) -> None:
    account = await prepared(data, infra)
    user_id = await id_of(account, infra)
    await handlers_of(infra).removals.start(user_id, SYSTEM, "admin", "r6")
    await settled(infra)
    assert not await LocalAccess(data, infra).check()
    assert read_account(data) == account
    assert await id_of(await prepared(data, infra), infra) != user_id


async def test_a_taken_name_is_no_obstacle_on_new_data(tmp_path: Path, infra: Infra) -> None:
    ours = await prepared(tmp_path, infra)
    assert ours.username.startswith(f"{NAME}-")
    assert await prepared(tmp_path, infra) == ours
