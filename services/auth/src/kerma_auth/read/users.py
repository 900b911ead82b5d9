"""Projection ``users``: the current credential and the roles of each user.

In: UserRegistered, CredentialSet, RoleGranted.
"""

from __future__ import annotations

from collections.abc import Iterator
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
class UserQueries:
    """Queries on the auth schema."""

    db: AsyncEngine

    async def account_of(self, user_id: str) -> tuple[str | None, tuple[str, ...]]:
        """Return the id of the user's current credential, None if unknown, and the roles, sorted."""
        found = (
            select(USER.c.credential_id, ROLE.c.role)
            .join_from(USER, ROLE, ROLE.c.user_id == USER.c.user_id, isouter=True)
            .where(USER.c.user_id == user_id)
            .order_by(ROLE.c.role)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        credential = rows[0].credential_id if rows else None
        return credential, tuple(row.role for row in rows if row.role is not None)

    async def roles_of(self, user_id: str) -> tuple[str, ...]:
        """Return the roles of a user, sorted."""
        found = select(ROLE.c.role).where(ROLE.c.user_id == user_id).order_by(ROLE.c.role)
        async with self.db.connect() as connection:
            return tuple((await connection.execute(found)).scalars())
