"""Projection ``users``: each user's current credential and roles, and whether the user may act;
API tokens that are not revoked.

In: UserRegistered, UserRemovalStarted, UserRemoved, CredentialSet, RoleGranted, RoleRevoked,
AccountDisabled, AccountEnabled, ApiTokenCreated, ApiTokenRevoked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, DateTime, MetaData, Select, Table, Text, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts.events import auth
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.ops import Delete, Op, Update, Upsert

METADATA = MetaData()

USER = Table(
    "user",
    METADATA,
    Column("user_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("credential_id", Text),
    Column("registered_at", DateTime(timezone=True), nullable=False),
    Column("disabled", Boolean, nullable=False),
)

ROLE = Table(
    "role",
    METADATA,
    Column("user_id", Text, primary_key=True),
    Column("role", Text, primary_key=True),
)

API_TOKEN = Table(
    "api_token",
    METADATA,
    Column("token_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("roles", Text, nullable=False),  # separated by spaces
    Column("created", DateTime(timezone=True), nullable=False),
    Column("expires", DateTime(timezone=True), nullable=False),
)

USERS = Projection("auth", "users", ("AUTH",), METADATA, revision=3)


@USERS.on(auth.UserRegistered)
def registered(event: auth.UserRegistered, at: At) -> Iterator[Op]:
    """Add the user."""
    values = {"source": event.source, "registered_at": at.time, "disabled": False}
    yield Upsert(USER, {"user_id": event.user_id}, values)


@USERS.on(auth.UserRemovalStarted)
@USERS.on(auth.UserRemoved)
def removed(event: auth.UserRemovalStarted | auth.UserRemoved, at: At) -> Iterator[Op]:
    """Delete everything about the user."""
    for table in (USER, ROLE, API_TOKEN):
        yield Delete(table, {"user_id": event.user_id})


@USERS.on(auth.CredentialSet)
def credential_set(event: auth.CredentialSet, at: At) -> Iterator[Op]:
    """Replace the current credential."""
    yield Update(USER, {"user_id": event.user_id}, {"credential_id": event.credential_id})


@USERS.on(auth.RoleGranted)
def role_granted(event: auth.RoleGranted, at: At) -> Iterator[Op]:
    """Add a role."""
    yield Upsert(ROLE, {"user_id": event.user_id, "role": event.role})


@USERS.on(auth.RoleRevoked)
def role_revoked(event: auth.RoleRevoked, at: At) -> Iterator[Op]:
    """Remove a role."""
    yield Delete(ROLE, {"user_id": event.user_id, "role": event.role})


@USERS.on(auth.AccountDisabled)
def disabled(event: auth.AccountDisabled, at: At) -> Iterator[Op]:
    """Mark the user."""
    yield Update(USER, {"user_id": event.user_id}, {"disabled": True})


@USERS.on(auth.AccountEnabled)
def enabled(event: auth.AccountEnabled, at: At) -> Iterator[Op]:
    """Remove the mark."""
    yield Update(USER, {"user_id": event.user_id}, {"disabled": False})


@USERS.on(auth.ApiTokenCreated)
def token_created(event: auth.ApiTokenCreated, at: At) -> Iterator[Op]:
    """Add the token."""
    values = {
        "user_id": event.user_id,
        "roles": " ".join(event.roles),
        "created": at.time,
        "expires": event.expires,
    }
    yield Upsert(API_TOKEN, {"token_id": event.token_id}, values)


@USERS.on(auth.ApiTokenRevoked)
def token_revoked(event: auth.ApiTokenRevoked, at: At) -> Iterator[Op]:
    """Remove the token."""
    yield Delete(API_TOKEN, {"token_id": event.token_id})


@dataclass(frozen=True, slots=True)
class Token:
    """An API token."""

    token_id: str
    roles: tuple[str, ...]
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the id of the current credential, None if there is none, and the roles, sorted."""

    user_id: str
    source: str
    credential_id: str | None
    registered_at: datetime
    disabled: bool
    roles: Sequence[str]


_ROLES = (
    select(func.coalesce(func.array_agg(aggregate_order_by(ROLE.c.role, ROLE.c.role)), []))
    .where(ROLE.c.user_id == USER.c.user_id)
    .scalar_subquery()
    .label("roles")
)
_ACCOUNTS = select(
    USER.c.user_id,
    USER.c.source,
    USER.c.credential_id,
    USER.c.registered_at,
    USER.c.disabled,
    _ROLES,
)


@dataclass(frozen=True, slots=True)
class UserQueries:
    """Queries on the auth schema."""

    db: AsyncEngine

    async def accounts_of(self, user_ids: Sequence[str]) -> dict[str, Account]:
        """Return the accounts that exist, by user id."""
        found = await self._accounts(_ACCOUNTS.where(USER.c.user_id.in_(user_ids)))
        return {account.user_id: account for account in found}

    async def page(self, after: str, limit: int) -> Sequence[Account]:
        """Return accounts in the order of their ids, which come after ``after``."""
        following = _ACCOUNTS.where(USER.c.user_id > after).order_by(USER.c.user_id).limit(limit)
        return await self._accounts(following)

    async def others_with(self, role: str, but: str) -> bool:
        """Return whether a user beside one has a role, and may act."""
        found = (
            select(ROLE.c.user_id)
            .join(USER, USER.c.user_id == ROLE.c.user_id)
            .where(ROLE.c.role == role, ROLE.c.user_id != but, USER.c.disabled.is_(False))
            .limit(1)
        )
        async with self.db.connect() as connection:
            return (await connection.execute(found)).first() is not None

    async def tokens_of(self, user_id: str, now: datetime) -> list[Token]:
        """Return the valid tokens of a user, oldest first."""
        t = API_TOKEN.c
        found = (
            select(t.token_id, t.roles, t.created, t.expires)
            .where(t.user_id == user_id, t.expires > now)
            .order_by(t.created, t.token_id)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return [Token(token, tuple(roles.split()), *times) for token, roles, *times in rows]

    async def _accounts(self, query: Select[Any]) -> Sequence[Account]:
        async with self.db.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [Account(**row) for row in rows]
