"""Sessions in the vault: who they belong to, and which refresh token of each is the current one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    ScalarSelect,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_auth.adapters.vault import METADATA
from kerma_auth.app.ports import OpenSession
from kerma_auth.domain.session import SESSION_LIFE, Grant
from kerma_common.db.sweeping import Stale
from kerma_common.errors import TooManyRequests

_TIME = DateTime(timezone=True)
AGAIN_SECONDS = 600.0
TOO_MANY = "You have logged in too often; please try again later"

SESSION = Table(
    "session",
    METADATA,
    Column("session_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("username", Text, nullable=False),
    # the only refresh token of a session that an earlier release opened, as SHA-256
    Column("refresh_hash", LargeBinary, unique=True),
    Column("expires", _TIME, nullable=False, index=True),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("rotated", _TIME),  # when the current token was made
    Column("ended", _TIME),
)
# A login opens a session, or prolongs the browser's.
_USED = func.greatest(SESSION.c.rotated, SESSION.c.expires - SESSION_LIFE)


def _stored(user_id: str, now: datetime) -> ScalarSelect[int]:
    """Return how many sessions a user has that go on, or would if they had not ended."""
    mine = (SESSION.c.user_id == user_id, SESSION.c.expires > now)
    return select(func.count()).select_from(SESSION).where(*mine).scalar_subquery()


OVER = Stale(SESSION, SESSION.c.expires < func.now())
"""Expired sessions."""


@dataclass(frozen=True, slots=True)
class SessionVault:
    """Sessions in PostgreSQL; every method is one statement.

    ``most`` may go on per user, and ``most_opened`` be stored. Logins at the same time see nothing of
    each other and may exceed both, until the next one.
    """

    db: AsyncEngine
    most: int = 100
    most_opened: int = 2000

    async def beyond(self, user_id: str, now: datetime) -> list[tuple[str, datetime]]:
        """See ``Sessions``; ended ones are kept, and counted, until they would have expired."""
        going_on = (
            SESSION.c.user_id == user_id,
            SESSION.c.ended.is_(None),
            SESSION.c.expires > now,
        )
        newest = _USED.desc(), SESSION.c.session_id
        oldest = (
            select(SESSION.c.session_id, _USED.label("used"))
            .where(*going_on)
            .order_by(*newest)
            .offset(self.most - 1)
            .subquery()
        )
        stored = select(_stored(user_id, now).label("stored")).subquery()
        found = select(stored.c.stored, oldest.c.session_id, oldest.c.used).select_from(
            stored.outerjoin(oldest, true())
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        if rows[0].stored >= self.most_opened:
            raise TooManyRequests(TOO_MANY, AGAIN_SECONDS)
        return [(row.session_id, row.used) for row in rows if row.session_id is not None]

    async def open(
        self, session_id: str, user_id: str, username: str, expires: datetime, now: datetime
    ) -> None:
        """See ``Sessions``."""
        columns = {"session_id": session_id, "user_id": user_id, "username": username}
        texts = [bindparam(None, text, Text) for text in columns.values()]
        times = {"expires": expires, "rotated": now}  # more exact than what ``expires`` tells
        when = [bindparam(None, time, _TIME) for time in times.values()]
        allowed = select(*texts, *when).where(_stored(user_id, now) < self.most_opened)
        opened = insert(SESSION).from_select([*columns, *times], allowed)
        async with self.db.begin() as connection:
            if (await connection.execute(opened)).rowcount == 0:
                raise TooManyRequests(TOO_MANY, AGAIN_SECONDS)

    async def of_user(self, user_id: str, now: datetime) -> list[OpenSession]:
        """See ``Sessions``."""
        found = (
            select(SESSION.c.session_id, _USED, SESSION.c.expires)
            .where(SESSION.c.user_id == user_id, SESSION.c.ended.is_(None), SESSION.c.expires > now)
            .order_by(_USED.desc(), SESSION.c.session_id)
        )
        async with self.db.connect() as connection:
            return [OpenSession(*row) for row in (await connection.execute(found)).all()]

    async def grant(self, session_id: str) -> Grant | None:
        """Return a session by its id."""
        return await self._grant(SESSION.c.session_id == session_id)

    async def grant_of(self, refresh_token: str) -> Grant | None:
        """Return a session of an earlier release by its refresh token."""
        digest = hashlib.sha256(refresh_token.encode("utf-8", "surrogatepass")).digest()
        return await self._grant(SESSION.c.refresh_hash == digest)

    async def rotate(self, session_id: str, generation: int, now: datetime) -> bool:
        """Make the token after ``generation`` the current one; False if ``generation`` is not."""
        current = (
            SESSION.c.session_id == session_id,
            SESSION.c.generation == generation,
            SESSION.c.ended.is_(None),
            SESSION.c.expires > now,
        )
        rotated = update(SESSION).where(*current).values(generation=generation + 1, rotated=now)
        async with self.db.begin() as connection:
            return (await connection.execute(rotated)).rowcount == 1

    async def prolong(self, session_id: str, expires: datetime) -> int | None:
        """Let a session end later; return its generation, None if it has ended."""
        going_on = (SESSION.c.session_id == session_id, SESSION.c.ended.is_(None))
        prolonged = update(SESSION).where(*going_on).values(expires=expires)
        async with self.db.begin() as connection:
            generation: int | None = await connection.scalar(
                prolonged.returning(SESSION.c.generation)
            )
            return generation

    async def end(self, session_id: str, now: datetime) -> None:
        """End a session; its refresh tokens become invalid."""
        going_on = (SESSION.c.session_id == session_id, SESSION.c.ended.is_(None))
        async with self.db.begin() as connection:
            await connection.execute(update(SESSION).where(*going_on).values(ended=now))

    async def end_all(
        self, user_id: str, now: datetime, but: str | None
    ) -> list[tuple[str, datetime]]:
        """End a user's sessions, except one; return their ids, and when each was used last."""
        going_on = [SESSION.c.user_id == user_id, SESSION.c.ended.is_(None)]
        if but is not None:
            going_on.append(SESSION.c.session_id != but)
        ended = update(SESSION).where(*going_on).values(ended=now)
        async with self.db.begin() as connection:
            rows = await connection.execute(ended.returning(SESSION.c.session_id, _USED))
            return [(session_id, last) for session_id, last in rows]

    async def ended_since(
        self, user_id: str, since: datetime, but: str | None
    ) -> list[tuple[str, datetime]]:
        """Return a user's sessions, except one, that ended lately, and when each was used last."""
        found = select(SESSION.c.session_id, _USED).where(
            SESSION.c.user_id == user_id, SESSION.c.ended >= since
        )
        if but is not None:
            found = found.where(SESSION.c.session_id != but)
        async with self.db.connect() as connection:
            return [(session_id, last) for session_id, last in await connection.execute(found)]

    async def active(self, now: datetime) -> list[tuple[str, str, int, datetime]]:
        """Return id and name of users with sessions, how many, and when one was used last."""
        found = (
            select(SESSION.c.user_id, func.min(SESSION.c.username), func.count(), func.max(_USED))
            .where(SESSION.c.ended.is_(None), SESSION.c.expires > now)
            .group_by(SESSION.c.user_id)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    async def forget(self, user_id: str) -> None:
        """Delete all sessions of a user who was removed, with the name in them."""
        async with self.db.begin() as connection:
            await connection.execute(delete(SESSION).where(SESSION.c.user_id == user_id))

    async def _grant(self, condition: ColumnElement[bool]) -> Grant | None:
        found = select(
            SESSION.c.session_id,
            SESSION.c.user_id,
            SESSION.c.username,
            SESSION.c.expires,
            SESSION.c.generation,
            SESSION.c.rotated,
            SESSION.c.ended,
        ).where(condition)
        async with self.db.connect() as connection:
            row = (await connection.execute(found)).first()
        return Grant(*row) if row else None
