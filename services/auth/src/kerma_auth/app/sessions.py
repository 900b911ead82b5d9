"""Sessions of people who logged in, and logins with a name and a password.

Out: SessionEnded.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kerma_auth.app.accounts import check_credentials
from kerma_auth.app.ports import (
    Account,
    AccountVault,
    Caller,
    Checked,
    OpenSession,
    Passwords,
    Sessions,
    Throttle,
    Tokens,
    Users,
)
from kerma_auth.domain.account import ACCOUNT
from kerma_auth.domain.names import name_key
from kerma_auth.domain.passwords import spellings
from kerma_auth.domain.session import SESSION, SESSION_LIFE, EndSession, Grant, Use, use_of
from kerma_auth.domain.user import USER, User
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import account_subject, session_subject, user_subject
from kerma_common.errors import Forbidden, NotFound, Unauthenticated
from kerma_common.security.principal import NATIVE
from kerma_common.security.tokens import ACCESS_LIFE, CLOCK_SKEW, SigningKey, issue

WRONG = "Invalid login or password"
DISABLED = "This account is disabled"
OVER = "The session has ended"
REUSED = "The session was ended, because a refresh token was used twice"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The tokens that a login or a refresh returns."""

    access_token: str
    access_expires: datetime
    refresh_token: str
    refresh_expires: datetime


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """Checks names and passwords."""

    vault: AccountVault
    users: Users
    passwords: Passwords
    throttle: Throttle

    async def check(self, username: object, password: object, address: str) -> tuple[Account, str]:
        """Return the account and the user's name; store a new hash if the old one is outdated.

        Raises the same Unauthenticated for an unknown name and a wrong password, TooManyRequests
        after too many of them; both count, and take as long, for names that do not exist. Raises
        Forbidden for the right password of a disabled account.
        """
        check_credentials(username, password)
        assert isinstance(username, str)
        assert isinstance(password, str)
        caller = Caller(address, username)
        await self.throttle.require(caller)  # without waiting in the queue
        account = await self._account(username)
        credential_id = account.credential_id if account and account.credential_id else ""
        stored = await self.vault.credential(credential_id)
        checked = await self._checked(stored.secret_hash if stored else None, password, caller)
        if account is None or stored is None or not checked.matches:
            raise Unauthenticated(WRONG)
        if account.disabled:
            raise Forbidden(DISABLED)
        if checked.renewed:
            await self.vault.renew_hash(credential_id, stored.secret_hash, checked.renewed)
        return account, stored.username

    async def _account(self, username: str) -> Account | None:
        """Return the account with this name.

        The ids of earlier releases are those of names as they were written.
        """
        ids = [self.vault.user_id(NATIVE, name) for name in (username, name_key(username))]
        found = await self.users.accounts_of(ids)
        return next((found[user_id] for user_id in ids if user_id in found), None)

    async def _checked(self, secret_hash: str | None, password: str, caller: Caller) -> Checked:
        checked = Checked(matches=False)
        async with self.passwords.turn(caller) as hashing:
            # Failures are counted before the next turn, so that as many guesses as there are turns
            # at a time come on top of the limit.
            await self.throttle.require(caller)
            for spelling in spellings(password):
                checked = await hashing.check(secret_hash, spelling)
                if checked.matches:
                    await self.throttle.succeeded(caller)
                    return checked
            await self.throttle.failed(caller)
        return checked


@dataclass(frozen=True, slots=True)
class SessionHandlers:
    """Opens, refreshes and ends sessions."""

    bus: CommandBus
    login: PasswordLogin
    sessions: Sessions
    tokens: Tokens
    signing_key: Callable[[], Awaitable[SigningKey]]
    clock: Callable[[], datetime]

    async def open(self, username: object, password: object, address: str) -> LoggedIn:
        """Open a session; raises what ``PasswordLogin.check`` does."""
        account, name = await self.login.check(username, password, address)
        grant = await self.opened(account.user_id, name)
        if (await self.bus.state(ACCOUNT, account_subject(account.user_id)))[0].disabled:
            # Disabled after the check; what was open at that moment has ended, also for later.
            await self.sessions.end(grant.session_id, self.clock())
            raise Forbidden(DISABLED)
        user = await self._user(account.user_id)
        if user.credential_id != account.credential_id:
            # The password was changed after it was checked; the sessions of that moment have ended.
            await self.sessions.end(grant.session_id, self.clock())
            raise Unauthenticated(WRONG)
        return await self.tokens_of(grant, user)

    async def opened(self, user_id: str, name: str) -> Grant:
        """Store a session of a user who has proved to be one.

        A user with too many sessions loses the one that was used longest ago. Raises TooManyRequests.
        """
        now, session_id = self.clock(), secrets.token_hex(16)
        expires = now.replace(microsecond=0) + SESSION_LIFE
        for pushed, used in await self.sessions.beyond(user_id, now):
            # First in every service: a login that fails in between leaves a session that goes on,
            # which the next one finds again, and not one that is over here and acts elsewhere.
            if _may_act(used, now):
                await self._end_everywhere(pushed, user_id, session_id)
            await self.sessions.end(pushed, now)
        await self.sessions.open(session_id, user_id, name, expires, now)
        return Grant(session_id, user_id, name, expires)

    async def resumed(
        self, refresh_token: str | None, user_id: str, proved_at: datetime
    ) -> Grant | None:
        """Prolong the session that a token names, for its user who proved again to be the one.

        Return None if there is none. Raises Unauthenticated if it was ended after the proof: a page
        that logs out and in at once ends logged out.
        """
        named = await self._named(refresh_token) if refresh_token else None
        if named is None or named[0].user_id != user_id:
            return None
        grant, now = named[0], self.clock()
        if grant.ended is not None:
            if proved_at <= grant.ended:
                raise Unauthenticated(OVER)
            return None
        expires = now.replace(microsecond=0) + SESSION_LIFE
        generation = await self.sessions.prolong(grant.session_id, expires)
        if generation is None:
            raise Unauthenticated(OVER)
        return replace(grant, expires=expires, generation=generation)

    async def tokens_of(self, grant: Grant, user: User) -> LoggedIn:
        """Return an access token and the current refresh token of a session."""
        return await self._issue(grant, grant.generation, user)

    async def refresh(self, refresh_token: str) -> LoggedIn:
        """Return new tokens of a session.

        Raises Unauthenticated when the session was ended; Forbidden when its time is over, or when
        the token was replaced before, which ends the session.
        """
        now = self.clock()
        named = await self._named(refresh_token)
        if named is None:
            raise Forbidden(OVER)
        grant, generation = named
        if use_of(grant, generation, now) is Use.ROTATE:
            if not await self.sessions.rotate(grant.session_id, generation, now):
                grant = await self.sessions.grant(grant.session_id) or grant
                await self._require_repeat(grant, generation, now)
        else:
            await self._require_repeat(grant, generation, now)
        return await self._issue(grant, generation + 1, await self._user(grant.user_id))

    async def renew(self, session_id: str) -> tuple[str, datetime]:
        """Return a new access token for a session that goes on. Raises Forbidden if it does not."""
        grant = await self.sessions.grant(session_id)
        if grant is None or grant.ended is not None:
            raise Forbidden(OVER)
        return await self._access(grant, await self._user(grant.user_id))

    async def _require_repeat(self, grant: Grant, generation: int, now: datetime) -> None:
        match use_of(grant, generation, now):
            case Use.REPEAT:
                return
            case Use.ENDED:
                assert grant.ended is not None
                if _may_act(grant.ended, now):  # what ended it may not have come so far elsewhere
                    await self._end_everywhere(grant.session_id, grant.user_id, "ended")
                raise Unauthenticated(OVER)
            case Use.REUSE:
                logger.warning("a replaced refresh token was used", extra={"user": grant.user_id})
                await self.end(grant.session_id, grant.user_id, f"reuse-{generation}")
                raise Forbidden(REUSED)
            case _:
                raise Forbidden(OVER)

    async def _issue(self, grant: Grant, generation: int, user: User) -> LoggedIn:
        access, expires = await self._access(grant, user)
        refresh = self.tokens.make(grant.session_id, generation)
        return LoggedIn(access, expires, refresh, grant.expires)

    async def _access(self, grant: Grant, user: User) -> tuple[str, datetime]:
        key = await self.signing_key()
        roles = tuple(sorted(user.roles))
        now, provider = self.clock(), user.source
        return issue(key, grant.user_id, grant.session_id, roles, now, provider)

    async def _user(self, user_id: str) -> User:
        # From the log, not from the read model: a role that was just taken away must not come back.
        user, _ = await self.bus.state(USER, user_subject(user_id))
        return user

    async def _named(self, refresh_token: str) -> tuple[Grant, int] | None:
        """Return the session that a refresh token belongs to, and the token's generation."""
        if read := self.tokens.read(refresh_token):
            grant = await self.sessions.grant(read[0])
            return (grant, read[1]) if grant else None
        grant = await self.sessions.grant_of(refresh_token)
        return (grant, 0) if grant else None

    async def session_of(self, refresh_token: str) -> tuple[str, str] | None:
        """Return the ids of the session and the user that a refresh token belongs to."""
        named = await self._named(refresh_token)
        return (named[0].session_id, named[0].user_id) if named else None

    async def listed(self, user_id: str) -> Sequence[OpenSession]:
        """Return the sessions of a user that go on, the one used last first."""
        return await self.sessions.of_user(user_id, self.clock())

    async def end_own(self, user_id: str, session_id: str, request_id: str) -> int:
        """End a session of a user, once more if it has ended; return the sequence.

        Raises NotFound if the user has no such session.
        """
        grant = await self.sessions.grant(session_id)
        if grant is None or grant.user_id != user_id:
            raise NotFound("You have no such session")
        return await self.end(session_id, user_id, request_id)

    async def end_others(self, user_id: str, but: str, request_id: str) -> int:
        """End all sessions of a user except one; return the sequence of the last commit, or 0."""
        now, seq = self.clock(), 0
        await self.sessions.end_all(user_id, now, but)
        # also those that an earlier try has ended here, but perhaps not in every service
        ended = await self.sessions.ended_since(user_id, now - ACCESS_LIFE - CLOCK_SKEW, but)
        for session_id, used in ended:
            if _may_act(used, now):
                seq = await self.end(session_id, user_id, request_id)
        return seq

    async def end(
        self, session_id: str, user_id: str, request_id: str, actor: str | None = None
    ) -> int:
        """End a session in every service and return the sequence of the commit."""
        await self.sessions.end(session_id, self.clock())
        return await self._end_everywhere(session_id, user_id, request_id, actor)

    async def _end_everywhere(
        self, session_id: str, user_id: str, request_id: str, actor: str | None = None
    ) -> int:
        """Make the access tokens of a session void; return the sequence of the commit."""
        now = self.clock()
        command = EndSession(user_id, session_id, now + ACCESS_LIFE)
        actor = actor or f"user:{user_id}"
        context = CommandContext(actor, (request_id, "logout"), request_id, now)
        subject = session_subject(user_id, session_id)
        return (await self.bus.execute(SESSION, subject, command, context)).seq


def _may_act(used: datetime, now: datetime) -> bool:
    """Return whether the last access token of a session, by any replica's clock, may be valid."""
    return used >= now - ACCESS_LIFE - CLOCK_SKEW
