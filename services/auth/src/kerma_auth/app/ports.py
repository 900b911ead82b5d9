"""Ports of the auth service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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


class OpenSession(Protocol):
    """A session that has not expired and can be refreshed."""

    @property
    def session_id(self) -> str:
        """Return the id of the session."""

    @property
    def user_id(self) -> str:
        """Return the id of its user."""

    @property
    def username(self) -> str:
        """Return the name of its user."""

    @property
    def expires(self) -> datetime:
        """Return when it expires."""


class Credential(Protocol):
    """A user's password."""

    @property
    def username(self) -> str:
        """Return the user's name as the user wrote it."""

    @property
    def secret_hash(self) -> str:
        """Return the hash of the password."""


class AccountVault(Protocol):
    """Secrets of accounts and sessions."""

    def user_id(self, source: str, username: str) -> str:
        """Return the user id of a name."""

    async def add_credential(
        self, credential_id: str, user_id: str, username: str, secret_hash: str
    ) -> None:
        """Store a credential; it takes effect once an event names it."""

    async def drop_credential(self, credential_id: str) -> None:
        """Delete a credential that no event names, or no longer."""

    async def credential(self, credential_id: str) -> Credential | None:
        """Return a credential."""

    async def named(self, key: str) -> Sequence[str]:
        """Return the ids of users that have, or had once, a credential under an equal name."""

    async def renew_hash(self, credential_id: str, old: str, new: str) -> None:
        """Replace the hash of a credential, unless it has changed meanwhile."""

    async def open_session(
        self,
        session_id: str,
        user_id: str,
        username: str,
        refresh_token: str,
        expires: datetime,
        now: datetime,
    ) -> None:
        """Store a session until it expires."""

    async def session_of_refresh(self, refresh_token: str) -> OpenSession | None:
        """Return the session that a refresh token belongs to."""

    async def session(self, session_id: str) -> OpenSession | None:
        """Return a session by its id."""

    async def close_session(self, session_id: str) -> None:
        """Delete a session; its refresh token becomes invalid."""


class Passwords(Protocol):
    """Makes and checks password hashes with bounded resources, callers taking fair turns.

    Raises Unavailable when too many requests wait.
    """

    async def hash(self, password: str, caller: Caller) -> str:
        """Return a new hash."""

    async def check(self, secret_hash: str | None, password: str, caller: Caller) -> Checked:
        """Compare the password with a hash; takes as long when there is no hash."""


class Account(Protocol):
    """A user who exists."""

    @property
    def user_id(self) -> str:
        """Return the id of the user."""

    @property
    def credential_id(self) -> str | None:
        """Return the id of the current credential."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles, sorted."""


class Users(Protocol):
    """Queries on projected users."""

    async def accounts_of(self, user_ids: Sequence[str]) -> Mapping[str, Account]:
        """Return the accounts that exist, by user id."""
