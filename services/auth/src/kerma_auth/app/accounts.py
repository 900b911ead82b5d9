"""Accounts and sessions of people who log in with a name and a password.

Out: UserRegistered with CredentialSet, SessionEnded.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kerma_auth.app.ports import AccountVault, Caller, Passwords, Users
from kerma_auth.domain.session import SESSION, EndSession
from kerma_auth.domain.user import USER, RegisterUser
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import session_subject, user_subject
from kerma_common.errors import DomainRejected, Forbidden, InvalidRequest, Unauthenticated
from kerma_common.security.tokens import ACCESS_LIFE, SigningKey, issue

SOURCE = "native"
REFRESH_LIFE = timedelta(minutes=120)
MAX_NAME = 128
MAX_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The tokens that a login returns."""

    access_token: str
    access_expires: datetime
    refresh_token: str
    refresh_expires: datetime


@dataclass(frozen=True, slots=True)
class Accounts:
    """Registers users, logs them in and out, and refreshes their tokens."""

    bus: CommandBus
    vault: AccountVault
    users: Users
    signing_key: Callable[[], Awaitable[SigningKey]]
    clock: Callable[[], datetime]
    passwords: Passwords

    async def register(self, username: str, password: str, address: str) -> int:
        """Create a user and return the sequence of the commit.

        Raises Forbidden when the name is taken.
        """
        check_credentials(username, password)
        user_id = self.vault.user_id(SOURCE, username)
        credential_id = secrets.token_hex(16)
        # concurrent registrations of one name may store several credentials; the event names the
        # one that counts
        secret_hash = await self.passwords.hash(password, Caller(address, username))
        await self.vault.add_credential(credential_id, user_id, username, secret_hash)
        command = RegisterUser(user_id, SOURCE, credential_id, "password")
        context = CommandContext("anonymous", (credential_id,), credential_id, self.clock())
        try:
            done = await self.bus.execute(USER, user_subject(user_id), command, context)
        except DomainRejected as rejected:
            raise Forbidden(rejected.message) from rejected
        return done.seq

    async def login(self, username: str, password: str, address: str) -> LoggedIn:
        """Open a session, and store a new hash of the password if the old one is outdated.

        Raises the same Unauthenticated for an unknown name and a wrong password.
        """
        check_credentials(username, password)
        user_id = self.vault.user_id(SOURCE, username)
        credential_id, roles = await self.users.account_of(user_id)
        secret_hash = await self.vault.secret_hash(credential_id) if credential_id else None
        checked = await self.passwords.check(secret_hash, password, Caller(address, username))
        if not checked.matches:
            raise Unauthenticated("Invalid login or password")
        if checked.renewed and credential_id and secret_hash:
            await self.vault.renew_hash(credential_id, secret_hash, checked.renewed)
        now = self.clock()
        session_id, refresh_token = secrets.token_hex(16), secrets.token_urlsafe(32)
        expires = now.replace(microsecond=0) + REFRESH_LIFE
        await self.vault.open_session(session_id, user_id, username, refresh_token, expires, now)
        access, access_expires = issue(await self.signing_key(), user_id, session_id, roles, now)
        return LoggedIn(access, access_expires, refresh_token, expires)

    async def refresh(self, refresh_token: str) -> tuple[str, datetime]:
        """Return a new access token for a session. Raises Forbidden when the session has ended."""
        now = self.clock()
        session = await self.vault.session_of_refresh(refresh_token)
        if session is None or session.expires <= now:
            raise Forbidden("The session has ended")
        roles = await self.users.roles_of(session.user_id)
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


def check_credentials(username: object, password: object) -> None:
    """Raise InvalidRequest naming what is wrong with a name or a password."""
    faults: dict[str, list[str]] = {}
    if not isinstance(username, str) or not 0 < len(username) <= MAX_NAME:
        faults["username"] = [f"Must be a string of 1 to {MAX_NAME} characters."]
    elif not username.isprintable():
        faults["username"] = ["Must not contain control characters."]
    if not isinstance(password, str) or not 0 < len(password) <= MAX_PASSWORD:
        faults["password"] = [f"Must be a string of 1 to {MAX_PASSWORD} characters."]
    if faults:
        raise InvalidRequest("Wrong data provided", faults)
