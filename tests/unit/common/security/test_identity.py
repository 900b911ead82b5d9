"""Tokens against what a process knows of AUTH: keys, revocations, and how old the knowledge is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kerma_common import poison
from kerma_common.contracts.envelope import Commit, Meta, make_commit
from kerma_common.contracts.events import auth
from kerma_common.contracts.subjects import session_subject
from kerma_common.errors import Forbidden, Unavailable, VoidToken
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.eventlog.port import StreamState
from kerma_common.eventlog.pull import LogWentBackwards
from kerma_common.security import api_tokens, follower, identity, verifier
from kerma_common.security.follower import Follower
from kerma_common.security.identity import KEPT, STALE_SECONDS, Identity
from kerma_common.security.principal import KEYCLOAK, NATIVE
from kerma_common.security.tokens import ACCESS_LIFE, SigningKey, issue
from kerma_common.security.verifier import TokenVerifier
from kit.events.projecting import record
from kit.events.tasks import end

KEY = SigningKey("first", Ed25519PrivateKey.generate())
OTHER = SigningKey("second", Ed25519PrivateKey.generate())


class Bus:
    """Client that keeps the poison that was recorded."""

    def __init__(self) -> None:
        self.published: list[str] = []

    async def publish(self, subject: str, body: bytes) -> None:
        self.published.append(subject)


class Log(MemoryLog):
    """A log whose end can be hidden, as by a server that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.answers.set()
        self.epoch = "memory"

    async def state(self, stream: str) -> StreamState:
        await self.answers.wait()
        found = await super().state(stream)
        return StreamState(found.first, found.last, self.epoch)


@dataclass
class World:
    """A process with a follower; ``now`` is its clock."""

    log: Log = field(default_factory=Log)
    bus: Any = field(default_factory=Bus)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.identity = Identity(lambda: self.now)
        self.verify = TokenVerifier(self.identity)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[asyncio.Task[None]]:
        following = Follower(self.identity, self.log, self.bus, "test")
        task = asyncio.ensure_future(following.run())
        try:
            yield task
        finally:
            if not task.done():
                assert not await end([task])

    async def tell(self, event: object) -> None:
        """Append an event and wait until the process knows it."""
        assert await self.identity.wait(await record(self.log, event), 10)


def introduced(key: SigningKey) -> auth.SigningKeyIntroduced:
    return auth.SigningKeyIntroduced(
        kid=key.kid, algorithm="EdDSA", public_jwk=key.public_jwk, not_before=datetime.now(UTC)
    )


def ended(session: str, user: str = "ada") -> auth.SessionEnded:
    expires = datetime.now(UTC) + ACCESS_LIFE
    return auth.SessionEnded(user_id=user, session_id=session, expires=expires)


def without_data(event: auth.SessionEnded) -> Commit:
    """Return a commit whose event lacks every field."""
    meta = Meta(actor="user:ada", command="Logout", correlation="c", service="auth")
    made = make_commit("broken", "session", event.session_id, 1, meta, (event,), datetime.now(UTC))
    return made._replace(events=(made.events[0]._replace(data={}),))


def token(
    session: str, user: str = "ada", key: SigningKey = KEY, age: timedelta = timedelta(0)
) -> str:
    return issue(key, user, session, ("user",), datetime.now(UTC) - age)[0]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(poison, "_noted", poison._Noted())


@pytest.fixture
async def world() -> World:
    made = World()
    await record(made.log, introduced(KEY))
    return made


async def test_a_token_tells_who_calls(world: World) -> None:
    async with world.following():
        for _ in range(2):
            found = await world.verify(token("s1"))
            assert (found.user_id, found.session_id, *found.roles) == ("ada", "s1", "user")
            assert found.provider == NATIVE


async def test_an_ended_session_is_refused_and_others_are_not(world: World) -> None:
    first, second = token("s1"), token("s2")
    async with world.following():
        await world.verify(first)
        await world.tell(ended("s1"))
        with pytest.raises(VoidToken, match="session has ended"):
            await world.verify(first)
        await world.verify(second)
        await world.verify(token("s1", user="grace"))


async def test_all_sessions_of_a_user_end_at_a_moment(world: World) -> None:
    before = token("s1", age=timedelta(seconds=5))
    async with world.following():
        await world.verify(before)
        moment = datetime.now(UTC) - timedelta(seconds=1)
        await world.tell(auth.SessionsRevoked(user_id="ada", not_before=moment))
        earlier = auth.SessionsRevoked(user_id="ada", not_before=moment - timedelta(hours=1))
        await world.tell(earlier)
        with pytest.raises(VoidToken, match="session has ended"):
            await world.verify(before)
        await world.verify(token("s1"))
        await world.verify(token("s1", user="grace", age=timedelta(seconds=5)))


async def test_a_remembered_token_expires(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # stands still
            return datetime.now(tz) + ACCESS_LIFE

    known = token("s1")
    async with world.following():
        await world.verify(known)
        monkeypatch.setattr(verifier, "datetime", Later)
        for _ in range(2):
            with pytest.raises(VoidToken, match="expired"):
                await world.verify(known)


async def test_an_expired_or_foreign_token_is_refused(world: World) -> None:
    impostor = SigningKey(KEY.kid, Ed25519PrivateKey.generate())
    async with world.following():
        with pytest.raises(VoidToken, match="expired"):
            await world.verify(token("s1", age=ACCESS_LIFE + timedelta(seconds=1)))
        with pytest.raises(VoidToken, match="Signature verification failed"):
            await world.verify(token("s1", key=impostor))
        with pytest.raises(VoidToken, match="key is not known"):
            await world.verify(token("s1", key=OTHER))


async def test_keys_are_introduced_and_retired_while_the_process_runs(world: World) -> None:
    old, new = token("s1"), token("s1", key=OTHER)
    async with world.following():
        await world.verify(old)
        await world.tell(introduced(OTHER))
        await world.verify(new)
        later = datetime.now(UTC) + timedelta(hours=1)
        await world.tell(auth.SigningKeyRetired(kid=KEY.kid, not_after=later))
        await world.verify(old)
        past = datetime.now(UTC) - timedelta(seconds=1)
        await world.tell(auth.SigningKeyRetired(kid=KEY.kid, not_after=past))
        with pytest.raises(VoidToken, match="session has ended"):
            await world.verify(old)
        await world.verify(new)


async def test_a_key_that_changes_makes_tokens_be_verified_again(world: World) -> None:
    old = token("s1")
    async with world.following():
        await world.verify(old)
        await world.tell(introduced(KEY))
        await world.verify(old)
        await world.tell(introduced(SigningKey(KEY.kid, Ed25519PrivateKey.generate())))
        with pytest.raises(VoidToken, match="Signature verification failed"):
            await world.verify(old)


async def test_a_restart_knows_old_keys_and_recent_revocations(world: World) -> None:
    await record(world.log, ended("long-ago"))
    world.log._times["AUTH"] = [time - KEPT for time in world.log._times["AUTH"]]
    await record(world.log, ended("s1"))
    async with world.following():
        with pytest.raises(VoidToken, match="session has ended"):
            await world.verify(token("s1"))
        # No token of that session can be valid any more, so its end is not read again.
        await world.verify(token("long-ago"))


async def test_a_disabled_account_is_refused_until_it_is_enabled(world: World) -> None:
    await record(world.log, auth.AccountDisabled(user_id="bob"))
    world.log._times["AUTH"] = [time - KEPT for time in world.log._times["AUTH"]]
    async with world.following():
        await world.verify(token("s1"))
        with pytest.raises(Forbidden, match="disabled"):
            await world.verify(token("s2", user="bob"))
        await world.tell(auth.AccountDisabled(user_id="ada"))
        with pytest.raises(Forbidden, match="disabled"):
            await world.verify(token("s1"))
        await world.tell(auth.AccountEnabled(user_id="ada"))
        await world.verify(token("s1"))


async def test_a_token_of_long_ago_is_accepted_until_it_is_revoked_or_expires(
    world: World,
) -> None:
    secrets = [bytes([number]) * api_tokens.SECRET_BYTES for number in range(3)]
    ids = [f"{number:016x}" for number in range(3)]
    tokens = [api_tokens.written(*pair) for pair in zip(ids, secrets, strict=True)]
    for token_id, secret, days in zip(ids, secrets, (1, 1, -1), strict=True):
        created = auth.ApiTokenCreated(
            user_id="ada",
            token_id=token_id,
            secret_sha256=api_tokens.secret_hash(secret),
            roles=("service",),
            source="keycloak",
            expires=datetime.now(UTC) + timedelta(days=days),
        )
        await record(world.log, created)
    await record(world.log, auth.ApiTokenRevoked(user_id="ada", token_id=ids[1]))
    world.log._times["AUTH"] = [time - KEPT for time in world.log._times["AUTH"]]
    async with world.following():
        found = await world.verify(tokens[0])
        assert (found.user_id, found.token_id, found.roles) == (
            "ada",
            ids[0],
            frozenset(("service",)),
        )
        assert found.provider == KEYCLOAK
        for wrong in (tokens[1], tokens[2], tokens[0][:-1], "kerma_x"):
            with pytest.raises(Forbidden, match="API token"):
                await world.verify(wrong)
        await world.tell(auth.AccountDisabled(user_id="ada"))
        with pytest.raises(Forbidden, match="disabled"):
            await world.verify(tokens[0])
        await world.tell(auth.AccountEnabled(user_id="ada"))
        await world.tell(auth.ApiTokenRevoked(user_id="ada", token_id=ids[0]))
        with pytest.raises(Forbidden, match="API token"):
            await world.verify(tokens[0])


def test_the_use_of_a_token_is_reported_once_a_minute() -> None:
    now = [0.0]
    known = Identity(lambda: now[0])
    for token_id in ("a", "b", "a"):
        known.used(token_id)
    assert sorted((*known.take_used(1), *known.take_used(9))) == ["a", "b"]
    known.used("a")
    assert known.take_used(9) == ()
    now[0] = identity.REPORT_SECONDS
    known.used("a")
    assert known.take_used(9) == ("a",)


async def test_a_role_that_is_taken_away_is_gone_from_tokens_that_name_it(world: World) -> None:
    known = token("s1")
    async with world.following():
        assert (await world.verify(known)).roles == {"user"}
        await world.tell(auth.RoleRevoked(user_id="ada", role="user"))
        assert (await world.verify(known)).roles == frozenset()
        assert (await world.verify(token("s2", user="bob"))).roles == {"user"}
        await world.tell(auth.RoleGranted(user_id="ada", role="user"))
        assert (await world.verify(known)).roles == {"user"}
        await world.tell(auth.RoleRevoked(user_id="ada", role="user"))
        world.now += KEPT.total_seconds()
        world.identity.saw_end(world.now)
        assert not world.identity._without_role._kept


async def test_revocations_are_kept_as_long_as_a_token_can_live(world: World) -> None:
    async with world.following():
        await world.tell(ended("s1"))
        await world.tell(auth.SessionsRevoked(user_id="bob", not_before=datetime.now(UTC)))
        for passed, known in ((ACCESS_LIFE, True), (KEPT - ACCESS_LIFE, False)):
            world.now += passed.total_seconds()
            world.identity.saw_end(world.now)
            assert bool(len(world.identity._ended._kept)) is known
            assert bool(len(world.identity._revoked._kept)) is known


async def test_without_the_end_of_the_log_no_token_is_accepted(world: World) -> None:
    known = token("s1")
    async with world.following():
        await world.verify(known)
        world.log.answers.clear()
        world.now += STALE_SECONDS
        await world.verify(known)
        assert world.identity.fault is None
        world.now += 0.1
        for session in (known, token("s2")):
            with pytest.raises(Unavailable):
                await world.verify(session)
        assert "end of AUTH" in str(world.identity.fault)
        world.log.answers.set()
        async with asyncio.timeout(10):
            while world.identity.fault is not None:
                await asyncio.sleep(0.01)
        await world.verify(known)


async def test_a_follower_behind_the_end_accepts_no_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = token("s1")
    async with world.following():
        await world.verify(known)

        async def stuck(self: Follower, records: object) -> None:
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(Follower, "_take", stuck)
        await record(world.log, ended("s1"))
        world.now += STALE_SECONDS + 1
        with pytest.raises(Unavailable):
            await world.verify(known)


async def test_before_auth_is_read_requests_wait_and_then_fail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "START_SECONDS", 0.05)
    with pytest.raises(Unavailable):
        await world.verify(token("s1"))
    assert world.identity.fault == "AUTH has not been read yet"
    monkeypatch.setattr(identity, "START_SECONDS", 60)
    waiting = asyncio.ensure_future(world.verify(token("s1")))
    async with world.following():
        assert (await waiting).user_id == "ada"


async def test_broken_events_are_recorded(world: World) -> None:
    no_key = auth.SigningKeyIntroduced(
        kid="third", algorithm="EdDSA", public_jwk={"kty": "OKP"}, not_before=datetime.now(UTC)
    )
    async with world.following():
        await world.verify(token("s1"))
        await world.tell(no_key)
        await world.log.append(session_subject("ada", "s3"), 0, without_data(ended("s3")))
        world.log.store_foreign(session_subject("ada", "s4"), b"nonsense")
        await world.tell(ended("s1"))
        with pytest.raises(VoidToken, match="session has ended"):
            await world.verify(token("s1"))
        await world.verify(token("s2"))
    assert len(world.bus.published) == 2


async def test_another_log_ends_the_process(world: World) -> None:
    async with world.following() as task:
        await world.verify(token("s1"))
        world.log.epoch = "restored"
        with pytest.raises(ExceptionGroup) as found:
            await asyncio.wait_for(task, 10)
    assert found.group_contains(LogWentBackwards)


async def test_the_number_of_remembered_tokens_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "REMEMBERED", 3)
    async with world.following():
        for number in range(10):
            await world.verify(token(f"s{number}"))
        assert len(world.verify._verified) == 3
        await world.verify(token("s0"))
