"""Labels of API tokens, which users choose, and when each token was used last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    DateTime,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_auth.adapters.vault import METADATA
from kerma_auth.app.tokens import Label
from kerma_auth.read.users import API_TOKEN
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.db.sweeping import Stale
from kerma_common.security.api_tokens import USED_SIGNAL, TokensUsed

_TIME = DateTime(timezone=True)

# replicas of an earlier release, which know no such column, go on during an upgrade
_LONGEST = text("now() + interval '366 days'")
LABEL = Table(
    "api_token_label",
    METADATA,
    Column("token_id", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("last_used", _TIME),
    # labels of earlier releases name no user
    Column("user_id", Text, index=True),
    Column("expires", _TIME, nullable=False, index=True, server_default=_LONGEST),
    Column("at", _TIME, nullable=False, server_default=func.now()),
)
OVER = Stale(LABEL, LABEL.c.expires < func.now())
"""Labels of expired tokens."""
HOLD = timedelta(minutes=1)
"""How long a label counts as a token that the read model may not show yet."""
_log = logging.getLogger(__name__)
MOST_NOTED = 10_000
"""Tokens whose use is noted and not yet written; further ones are noted a minute later."""


@dataclass(frozen=True, slots=True)
class StoredLabels:
    """Labels in PostgreSQL; ``db`` is not in autocommit mode."""

    db: AsyncEngine

    async def add(
        self, token_id: str, user_id: str, label: str, expires: datetime, most: int
    ) -> bool:
        """See ``TokenLabels``. A lock of the user lets one request count at a time."""
        valid = select(API_TOKEN.c.token_id).where(
            API_TOKEN.c.user_id == user_id, API_TOKEN.c.expires > func.clock_timestamp()
        )
        added_now = select(LABEL.c.token_id).where(
            LABEL.c.user_id == user_id, LABEL.c.at > func.clock_timestamp() - HOLD
        )
        both = union(valid, added_now).subquery()
        others = select(func.count()).select_from(both).where(both.c.token_id != token_id)
        columns = {"token_id": token_id, "label": label, "user_id": user_id}
        values = [bindparam(None, value, Text) for value in columns.values()]
        row = select(*values, bindparam(None, expires, _TIME))
        add = (
            insert(LABEL)
            .from_select([*columns, "expires"], row.where(others.scalar_subquery() < most))
            .on_conflict_do_nothing()
        )
        lock = select(func.pg_advisory_xact_lock(func.hashtextextended(f"token {user_id}", 0)))
        known = select(LABEL.c.token_id).where(LABEL.c.token_id == token_id)
        async with self.db.begin() as connection:
            await connection.execute(lock)
            await connection.execute(add)
            return (await connection.execute(known)).first() is not None

    async def of(self, token_ids: Sequence[str]) -> dict[str, Label]:
        """Return the labels of tokens."""
        found = select(LABEL).where(LABEL.c.token_id.in_(token_ids))
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return {row.token_id: Label(row.label, row.last_used) for row in rows}

    async def drop(self, token_id: str) -> None:
        """Delete what is stored of a token."""
        async with self.db.begin() as connection:
            await connection.execute(delete(LABEL).where(LABEL.c.token_id == token_id))

    async def used(self, token_ids: Sequence[str]) -> None:
        """Note that tokens were used now."""
        noted = update(LABEL).where(LABEL.c.token_id.in_(token_ids)).values(last_used=func.now())
        async with self.db.begin() as connection:
            await connection.execute(noted)


@dataclass(slots=True)
class UseRecorder:
    """Writes down which tokens all processes report as used. A lost report does not matter."""

    labels: StoredLabels
    _noted: set[str] = field(default_factory=set, init=False)
    _some: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def listen(self, broker: EdgeBroker) -> None:
        """Take the reports from the bus."""
        broker.on_hint(USED_SIGNAL, TokensUsed, self._note)

    def _note(self, used: TokensUsed) -> None:
        if len(self._noted) < MOST_NOTED:
            self._noted.update(used.token_ids)
            self._some.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            noted, self._noted = self._noted, set()
            try:
                await self.labels.used(sorted(noted))
            except (SQLAlchemyError, OSError) as error:
                # The end of this task would be that of the service.
                _log.warning("uses of API tokens are not noted: %s", type(error).__name__)
