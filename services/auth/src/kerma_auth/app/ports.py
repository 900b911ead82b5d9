"""What the auth service needs from outside its rules."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class OpenSession(Protocol):
    """A session that may still be refreshed."""

    @property
    def session_id(self) -> str:
        """Id of the session."""

    @property
    def user_id(self) -> str:
        """Whose it is."""

    @property
    def username(self) -> str:
        """Their name."""

    @property
    def expires(self) -> datetime:
        """When it ends by itself."""


class AccountVault(Protocol):
    """Secrets of accounts and sessions."""

    def user_id(self, source: str, username: str) -> str:
        """The user id of a name."""

    async def add_credential(
        self, credential_id: str, user_id: str, username: str, secret_hash: str
    ) -> None:
        """Keep a credential; it counts once an event names it."""

    async def secret_hash(self, credential_id: str) -> str | None:
        """Password hash of a credential."""

    async def open_session(
        self,
        session_id: str,
        user_id: str,
        username: str,
        refresh_token: str,
        expires: datetime,
        now: datetime,
    ) -> None:
        """Keep a session until it expires."""

    async def session_of_refresh(self, refresh_token: str) -> OpenSession | None:
        """The session that a refresh token belongs to."""

    async def session(self, session_id: str) -> OpenSession | None:
        """A session by its id."""

    async def close_session(self, session_id: str) -> None:
        """Forget a session; its refresh token is void."""


class Passwords(Protocol):
    """Makes and checks password hashes, however many people log in at once."""

    async def hash(self, password: str) -> str:
        """A new hash. Raises Unavailable when too many wait."""

    async def matches(self, secret_hash: str | None, password: str) -> bool:
        """Whether the password belongs to the hash; takes as long where there is none.

        Raises Unavailable when too many wait.
        """


class Users(Protocol):
    """What is projected of users."""

    async def credential_of(self, user_id: str) -> str | None:
        """Id of the credential that counts; None for an unknown user."""

    async def roles_of(self, user_id: str) -> tuple[str, ...]:
        """Roles of a user, sorted."""
