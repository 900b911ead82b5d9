"""Sessions of people who logged in with a name and a password.

Out: SessionEnded.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kerma_auth.app.accounts import SOURCE, check_credentials
from kerma_auth.app.ports import Account, AccountVault, Caller, Checked, Passwords, Users
from kerma_auth.domain.names import name_key
from kerma_auth.domain.passwords import spellings
from kerma_auth.domain.session import SESSION, EndSession
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import session_subject
from kerma_common.errors import Forbidden, Unauthenticated
from kerma_common.security.tokens import ACCESS_LIFE, SigningKey, issue

REFRESH_LIFE = timedelta(minutes=120)
WRONG = "Invalid login or password"


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The tokens that a login returns."""

    access_token: str
    access_expires: datetime
    refresh_token: str
    refresh_expires: datetime


@dataclass(frozen=True, slots=True)
class Sessions:
    """Logs users in and out, and refreshes their tokens."""

    bus: CommandBus
    vault: AccountVault
    users: Users
    signing_key: Callable[[], Awaitable[SigningKey]]
    clock: Callable[[], datetime]
    passwords: Passwords

    async def login(self, username: object, password: object, address: str) -> LoggedIn:
        """Open a session, and store a new hash of the password if the old one is outdated.

        Raises the same Unauthenticated for an unknown name and a wrong password.
        """
        check_credentials(username, password)
        assert isinstance(username, str)
        assert isinstance(password, str)
        account = await self._account(username)
        credential_id = account.credential_id if account and account.credential_id else ""
        stored = await self.vault.credential(credential_id)
        old = stored.secret_hash if stored else None
        checked = await self._checked(old, password, Caller(address, username))
        if account is None or stored is None or not checked.matches:
            raise Unauthenticated(WRONG)
        if checked.renewed:
            await self.vault.renew_hash(credential_id, stored.secret_hash, checked.renewed)
        return await self._open(account, stored.username)

    async def _account(self, username: str) -> Account | None:
        """Return the account with this name.

        The ids of earlier releases are those of names as they were written.
        """
        ids = [self.vault.user_id(SOURCE, name) for name in (username, name_key(username))]
        found = await self.users.accounts_of(ids)
        return next((found[user_id] for user_id in ids if user_id in found), None)

    async def _checked(self, secret_hash: str | None, password: str, caller: Caller) -> Checked:
        checked = Checked(matches=False)
        for spelling in spellings(password):
            checked = await self.passwords.check(secret_hash, spelling, caller)
            if checked.matches:
                break
        return checked

    async def _open(self, account: Account, username: str) -> LoggedIn:
        now = self.clock()
        session_id, refresh_token = secrets.token_hex(16), secrets.token_urlsafe(32)
        expires = now.replace(microsecond=0) + REFRESH_LIFE
        user_id = account.user_id
        await self.vault.open_session(session_id, user_id, username, refresh_token, expires, now)
        key = await self.signing_key()
        access, access_expires = issue(key, user_id, session_id, account.roles, now)
        return LoggedIn(access, access_expires, refresh_token, expires)

    async def refresh(self, refresh_token: str) -> tuple[str, datetime]:
        """Return a new access token for a session. Raises Forbidden when the session has ended."""
        now = self.clock()
        session = await self.vault.session_of_refresh(refresh_token)
        if session is None or session.expires <= now:
            raise Forbidden("The session has ended")
        account = (await self.users.accounts_of([session.user_id])).get(session.user_id)
        roles = account.roles if account else ()
        return issue(await self.signing_key(), session.user_id, session.session_id, roles, now)

    async def username(self, session_id: str) -> str | None:
        """Return the user's name for a session, or None when the session has ended."""
        session = await self.vault.session(session_id)
        return session.username if session else None

    async def logout(self, session_id: str, user_id: str, request_id: str) -> int:
        """End a session in every service and return the sequence of the commit."""
        now = self.clock()
        await self.vault.close_session(session_id)
        command = EndSession(user_id, session_id, now + ACCESS_LIFE)
        context = CommandContext(f"user:{user_id}", (request_id, "logout"), request_id, now)
        subject = session_subject(user_id, session_id)
        return (await self.bus.execute(SESSION, subject, command, context)).seq

    async def session_of_refresh(self, refresh_token: str) -> tuple[str, str] | None:
        """Return the session and the user that a refresh token belongs to."""
        session = await self.vault.session_of_refresh(refresh_token)
        return (session.session_id, session.user_id) if session else None
