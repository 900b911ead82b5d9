"""SSH certificates of users of a provider: fetched at the login, kept encrypted, deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.serialization import SSHCertificateType
from sqlalchemy import select, update

from kerma_auth.adapters.keycloak.ssh_vault import SSH_CREDENTIAL, SshVault
from kerma_auth.app.keycloak import SshCredential
from kerma_auth.domain.user import SYSTEM
from kerma_auth.main import STALE, handlers_of
from kerma_common.db.sweeping import Sweeper
from kit.identity.federation import Entered, Federation, federation
from kit.identity.provider import SSH, Provider, provider, ssh_certificate

pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A realm with a certificate service, and services that trust it."""

    realm: Provider
    auth: Federation

    async def enter(self, name: str) -> Entered:
        return await self.auth.enter(self.realm.token(name), name)

    @property
    def ssh(self) -> SshVault:
        found = handlers_of(self.auth.infra).keycloak.ssh
        assert isinstance(found, SshVault)
        return found

    async def kept(self, entered: Entered) -> SshCredential | None:
        return await self.ssh.of(entered.user_id, datetime.now(UTC))

    async def set(self, entered: Entered, **values: datetime) -> None:
        own = SSH_CREDENTIAL.c.user_id == entered.user_id
        async with self.auth.infra.db.begin() as connection:
            await connection.execute(update(SSH_CREDENTIAL).where(own).values(**values))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    blobs = tmp_path_factory.mktemp("blobs")
    stored: dict[str, Any] = {"nats_url": nats_url, "postgres_url": postgres_url, "blobs": blobs}
    async with (
        provider() as realm,
        federation(realm.issuer, stored, CERT_URL=realm.url + SSH) as auth,
    ):
        realm.certify()
        yield World(realm, auth)


async def test_a_certificate_is_fetched_with_the_token_and_kept_until_it_expires(
    world: World,
) -> None:
    certificate, private = world.realm.certify(timedelta(hours=1))
    token = world.realm.token("plgada")
    entered = await world.auth.enter(token, "plgada")
    assert world.realm.ssh.asked[-1] == f"Bearer {token}"
    kept = await world.kept(entered)
    assert kept is not None
    assert (kept.certificate, kept.private_key) == (certificate, private)
    assert timedelta(minutes=59) < kept.expires - datetime.now(UTC) <= timedelta(hours=1)
    after = kept.expires + timedelta(seconds=1)
    assert await world.ssh.of(entered.user_id, after) is None


async def test_a_certificate_that_lasts_is_not_asked_for_again(world: World) -> None:
    world.realm.certify(timedelta(hours=1))
    entered = await world.enter("plgbob")
    asked = len(world.realm.ssh.asked)
    await world.enter("plgbob")
    assert len(world.realm.ssh.asked) == asked
    await world.set(entered, obtained=LONG_AGO)  # less than half of its time is left
    newer, _ = world.realm.certify(timedelta(hours=2))
    await world.enter("plgbob")
    assert len(world.realm.ssh.asked) == asked + 1
    kept = await world.kept(entered)
    assert kept is not None
    assert kept.certificate == newer


async def test_a_certificate_is_stored_encrypted_and_bound_to_its_user(world: World) -> None:
    _, private = world.realm.certify()
    one, other = await world.enter("plgone"), await world.enter("plgother")
    found = select(SSH_CREDENTIAL.c.user_id, SSH_CREDENTIAL.c.wrapped)
    async with world.auth.infra.db.begin() as connection:
        rows = {row.user_id: row.wrapped for row in await connection.execute(found)}
        moved = SSH_CREDENTIAL.c.user_id == other.user_id
        await connection.execute(
            update(SSH_CREDENTIAL).where(moved).values(wrapped=rows[one.user_id])
        )
    for wrapped in rows.values():
        assert private[40:80].encode() not in wrapped
        assert b"ssh-rsa" not in wrapped
    with pytest.raises(InvalidTag):
        await world.kept(other)
    await world.ssh.forget(other.user_id)


def _spoilt() -> list[dict[str, Any]]:
    certificate, private = ssh_certificate()
    _, foreign = ssh_certificate()
    of_host, key_of_host = ssh_certificate(kind=SSHCertificateType.HOST)
    past, key_of_past = ssh_certificate(timedelta(days=-1))
    return [
        {"status": 500},
        {"seconds": 60.0},
        {"body": b"no JSON"},
        {"body": b"[]"},
        {"body": b"x" * 100_000},
        {"body": orjson.dumps({"cert": certificate})},
        {"body": orjson.dumps({"cert": certificate, "private": 5})},
        {"body": orjson.dumps({"cert": certificate, "private": "-----BEGIN RSA PRIVATE KEY-----"})},
        {"body": orjson.dumps({"cert": "ssh-rsa AAAA", "private": private})},
        {"body": orjson.dumps({"cert": certificate, "private": foreign})},
        {"body": orjson.dumps({"cert": of_host, "private": key_of_host})},
        {"body": orjson.dumps({"cert": past, "private": key_of_past})},
    ]


@pytest.mark.parametrize("spoilt", _spoilt(), ids=lambda found: str(found)[:40])
async def test_without_the_certificate_service_logins_work_and_the_earlier_one_stays(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    spoilt: dict[str, Any],
) -> None:
    earlier, _ = world.realm.certify()
    entered = await world.enter("plgeve")
    await world.set(entered, obtained=LONG_AGO)
    for name, value in spoilt.items():
        monkeypatch.setattr(world.realm.ssh, name, value)
    with caplog.at_level(logging.WARNING):
        again = await world.enter("plgeve")
    assert "no SSH certificate: its service: " in caplog.text
    assert "PRIVATE KEY" not in caplog.text
    kept = await world.kept(again)
    assert kept is not None
    assert kept.certificate == earlier
    await world.ssh.forget(entered.user_id)


async def test_disabling_deletes_the_certificate(world: World) -> None:
    world.realm.certify()
    entered = await world.enter("plgbart")
    assert await world.kept(entered) is not None
    administration = handlers_of(world.auth.infra).administration
    await administration.disable(entered.user_id, SYSTEM, "out")
    assert await world.kept(entered) is None
    refused = await world.auth.exchange(world.realm.token("plgbart"), "plgbart")
    assert refused.status_code == 403
    await administration.enable(entered.user_id, SYSTEM, "in")
    assert await world.kept(entered) is None


async def test_a_login_that_is_overtaken_by_disabling_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.realm.certify()
    entered = await world.enter("plglate")
    await world.ssh.forget(entered.user_id)
    asked = len(world.realm.ssh.asked)
    monkeypatch.setattr(world.realm.ssh, "seconds", 0.5)
    entering = asyncio.ensure_future(world.auth.exchange(world.realm.token("plglate"), "plglate"))
    while len(world.realm.ssh.asked) == asked:
        await asyncio.sleep(0.01)
    administration = handlers_of(world.auth.infra).administration
    await administration.disable(entered.user_id, SYSTEM, "late")
    refused = await entering
    assert (refused.status_code, refused.json()["message"]) == (403, "This account is disabled")
    assert await world.kept(entered) is None
    assert not refused.cookies


async def test_nothing_of_it_enters_the_log_or_an_answer(world: World) -> None:
    certificate, private = world.realm.certify()
    token = world.realm.token("plgsecret")
    entered = await world.auth.enter(token, "plgsecret")
    assert certificate[50:90] not in entered.answer.text
    history = await world.auth.infra.log.history("AUTH", "ev.auth.>")
    stored = repr(history)
    for secret in (certificate[50:90], private[50:90], token[-40:], "plgsecret"):
        assert secret not in stored
    assert entered.user_id in stored
    credential = await world.kept(entered)
    assert private[50:90] not in repr(credential)


async def test_expired_certificates_are_deleted(world: World) -> None:
    world.realm.certify()
    gone = await world.enter("plggone")
    await world.set(gone, expires=LONG_AGO)
    stays = await world.enter("plgstays")
    await Sweeper("auth", world.auth.infra.db, STALE).sweep()
    found = select(SSH_CREDENTIAL.c.user_id)
    async with world.auth.infra.db.connect() as connection:
        kept = set(await connection.scalars(found))
    assert (gone.user_id in kept, stays.user_id in kept) == (False, True)
