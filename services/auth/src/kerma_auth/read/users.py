"""Projection ``users``: each user's current credential and roles, and whether the user may act.

In: UserRegistered, CredentialSet, RoleGranted, RoleRevoked, AccountDisabled, AccountEnabled.
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

USERS = Projection("auth", "users", ("AUTH",), METADATA, revision=2)


@USERS.on(auth.UserRegistered)
def registered(event: auth.UserRegistered, at: At) -> Iterator[Op]:
    """Add the user."""
    values = {"source": event.source, "registered_at": at.time, "disabled": False}
    yield Upsert(USER, {"user_id": event.user_id}, values)


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

    async def _accounts(self, query: Select[Any]) -> Sequence[Account]:
        async with self.db.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [Account(**row) for row in rows]
