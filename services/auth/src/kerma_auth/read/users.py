"""Projection ``users``: the current credential and the roles of each user.

In: UserRegistered, CredentialSet, RoleGranted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, DateTime, MetaData, Table, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts.events import auth
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.ops import Op, Update, Upsert

METADATA = MetaData()

USER = Table(
    "user",
    METADATA,
    Column("user_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("credential_id", Text),
    Column("registered_at", DateTime(timezone=True), nullable=False),
)

ROLE = Table(
    "role",
    METADATA,
    Column("user_id", Text, primary_key=True),
    Column("role", Text, primary_key=True),
)

USERS = Projection("auth", "users", ("AUTH",), METADATA)


@USERS.on(auth.UserRegistered)
def registered(event: auth.UserRegistered, at: At) -> Iterator[Op]:
    """Add the user."""
    yield Upsert(
        USER, {"user_id": event.user_id}, {"source": event.source, "registered_at": at.time}
    )


@USERS.on(auth.CredentialSet)
def credential_set(event: auth.CredentialSet, at: At) -> Iterator[Op]:
    """Replace the current credential."""
    yield Update(USER, {"user_id": event.user_id}, {"credential_id": event.credential_id})


@USERS.on(auth.RoleGranted)
def role_granted(event: auth.RoleGranted, at: At) -> Iterator[Op]:
    """Add a role."""
    yield Upsert(ROLE, {"user_id": event.user_id, "role": event.role})


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the id of the current credential, None if there is none, and the roles, sorted."""

    user_id: str
    credential_id: str | None
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserQueries:
    """Queries on the auth schema."""

    db: AsyncEngine

    async def accounts_of(self, user_ids: Sequence[str]) -> dict[str, Account]:
        """Return the accounts that exist, by user id."""
        found = (
            select(USER.c.user_id, USER.c.credential_id, ROLE.c.role)
            .join_from(USER, ROLE, ROLE.c.user_id == USER.c.user_id, isouter=True)
            .where(USER.c.user_id.in_(user_ids))
            .order_by(ROLE.c.role)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        roles: dict[str, list[str]] = {}
        for row in rows:
            roles.setdefault(row.user_id, []).extend(filter(None, (row.role,)))
        return {
            row.user_id: Account(row.user_id, row.credential_id, tuple(roles[row.user_id]))
            for row in rows
        }
