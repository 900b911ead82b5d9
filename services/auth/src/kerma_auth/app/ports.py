"""Ports of the auth service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kerma_auth.domain.session import Grant


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the client's address, or "" if unknown, and the name to log in with."""

    address: str
    username: str


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a password matches; ``renewed`` is a new hash to store if the old one is outdated."""

    matches: bool
    renewed: str | None = None


class Credential(Protocol):
    """A user's password."""

    @property
    def username(self) -> str:
        """Return the user's name as the user wrote it."""

    @property
    def secret_hash(self) -> str:
        """Return the hash of the password."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A credential and its user."""

    credential_id: str
    user_id: str


class AccountVault(Protocol):
    """Secrets of accounts and sessions."""

    def user_id(self, source: str, username: str) -> str:
        """Return the user id of a name."""

    async def add_credential(
        self,
        credential_id: str,
        user_id: str,
        username: str,
        secret_hash: str,
        *,
        claims_key: bool = False,
    ) -> bool:
        """Store a credential, unless it is stored; it takes effect once an event names it.

        Return whether it is stored now: it is not if it ``claims_key`` of its request, and that of
        another request has the key.
        """

    async def drop_credential(self, credential_id: str) -> None:
        """Delete a credential that no event names, or no longer."""

    async def forget(self, user_id: str) -> None:
        """Delete name and passwords of a user who was removed."""

    async def credentials_of(self, user_id: str) -> Sequence[str]:
        """Return the ids of the credentials that are stored for a user."""

    async def owner_of_key(self, credential_id: str) -> Owner | None:
        """Return the credential of a request with the same key, if there is one."""

    async def credential(self, credential_id: str) -> Credential | None:
        """Return a credential."""

    async def username(self, user_id: str) -> str | None:
        """Return the name of a user."""

    async def usernames(self, user_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the names of users by their ids."""

    async def named(self, key: str) -> Sequence[str]:
        """Return the ids of users that have, or had once, a credential under an equal name."""

    async def renew_hash(self, credential_id: str, old: str, new: str) -> None:
        """Replace the hash of a credential, unless it has changed meanwhile."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that goes on: when a login or refresh used it last, and when it expires."""

    session_id: str
    used: datetime
    expires: datetime


class Sessions(Protocol):
    """Sessions, kept until they expire."""

    async def beyond(self, user_id: str, now: datetime) -> Sequence[tuple[str, datetime]]:
        """Return the sessions, used longest ago, that must end before a user opens another one.

        With each comes when it was used last. Raises TooManyRequests if the user has opened too many
        lately.
        """

    async def open(
        self, session_id: str, user_id: str, username: str, expires: datetime, now: datetime
    ) -> None:
        """Store a session. Raises TooManyRequests if its user has opened too many lately."""

    async def of_user(self, user_id: str, now: datetime) -> Sequence[OpenSession]:
        """Return the sessions of a user that go on, the one used last first."""

    async def grant(self, session_id: str) -> Grant | None:
        """Return a session by its id."""

    async def grant_of(self, refresh_token: str) -> Grant | None:
        """Return a session of an earlier release by its refresh token."""

    async def rotate(self, session_id: str, generation: int, now: datetime) -> bool:
        """Make the token after ``generation`` the current one; False if ``generation`` is not."""

    async def prolong(self, session_id: str, expires: datetime) -> int | None:
        """Let a session end later; return its generation, None if it has ended."""

    async def end(self, session_id: str, now: datetime) -> None:
        """End a session; its refresh tokens become invalid."""

    async def end_all(
        self, user_id: str, now: datetime, but: str | None
    ) -> Sequence[tuple[str, datetime]]:
        """End a user's sessions, except one; return their ids, and when each was used last."""

    async def ended_since(
        self, user_id: str, since: datetime, but: str | None
    ) -> Sequence[tuple[str, datetime]]:
        """Return a user's sessions, except one, that ended lately, and when each was used last."""

    async def active(self, now: datetime) -> Sequence[tuple[str, str, int, datetime]]:
        """Return id and name of users with sessions, how many, and when one was used last."""

    async def forget(self, user_id: str) -> None:
        """Delete all sessions of a user who was removed, with the name in them."""


class Tokens(Protocol):
    """Makes and reads refresh tokens."""

    def make(self, session_id: str, generation: int) -> str:
        """Return the refresh token of a generation."""

    def read(self, token: str) -> tuple[str, int] | None:
        """Return session and generation of a token that ``make`` made, else None."""


class Throttle(Protocol):
    """Bounds failed logins per name and per address, and what callers make."""

    async def require(self, caller: Caller) -> None:
        """Raise TooManyRequests if the name has failed too often.

        Where the address has failed too often, names that have never failed from there are let
        through, up to a larger limit: strangers may share it.
        """

    async def failed(self, caller: Caller) -> None:
        """Count a failed login."""

    async def succeeded(self, caller: Caller) -> None:
        """Forget failed logins of this name from this address."""

    async def failed_at(self, address: str) -> None:
        """Count a failed exchange. Raises TooManyRequests if there were too many at the address."""

    async def exchanges(self, user_id: str) -> None:
        """Count an exchange of a user. Raises TooManyRequests if there were too many."""

    async def creates_token(self, user_id: str) -> None:
        """Count an API token of a user. Raises TooManyRequests if there were too many."""

    async def registers(self, caller: Caller) -> None:
        """Count a registration. Raises TooManyRequests if there were too many."""

    async def logs(self, address: str, user_id: str | None) -> None:
        """Count a request with logs of a user, or of an address without one.

        Raises TooManyRequests if there were too many.
        """


class Hashing(Protocol):
    """Makes and checks password hashes."""

    async def hash(self, password: str) -> str:
        """Return a new hash."""

    async def check(self, secret_hash: str | None, password: str) -> Checked:
        """Compare the password with a hash; takes as long when there is no hash."""


class Passwords(Protocol):
    """Lets callers hash with bounded resources, in fair turns."""

    def turn(self, caller: Caller) -> AbstractAsyncContextManager[Hashing]:
        """Wait for a turn. Raises Unavailable when too many callers wait."""


class Account(Protocol):
    """A user who exists."""

    @property
    def user_id(self) -> str:
        """Return the id of the user."""

    @property
    def source(self) -> str:
        """Return the user's provider."""

    @property
    def credential_id(self) -> str | None:
        """Return the id of the current credential."""

    @property
    def registered_at(self) -> datetime:
        """Return when the user was registered."""

    @property
    def disabled(self) -> bool:
        """Return whether the user may not act."""

    @property
    def roles(self) -> Sequence[str]:
        """Return the roles, sorted."""


class Users(Protocol):
    """Queries on projected users."""

    async def accounts_of(self, user_ids: Sequence[str]) -> Mapping[str, Account]:
        """Return the accounts that exist, by user id."""

    async def page(self, after: str, limit: int) -> Sequence[Account]:
        """Return accounts in the order of their ids, which come after ``after``."""
