"""Labels of API tokens, which users choose, and when each token was used last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Column, DateTime, Table, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_auth.adapters.vault import METADATA
from kerma_auth.app.tokens import Label
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.security.api_tokens import USED_SIGNAL, TokensUsed

LABEL = Table(
    "api_token_label",
    METADATA,
    Column("token_id", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("last_used", DateTime(timezone=True)),
)
_log = logging.getLogger(__name__)
MOST_NOTED = 10_000
"""Tokens whose use is noted and not yet written; further ones are noted a minute later."""


@dataclass(frozen=True, slots=True)
class StoredLabels:
    """Labels in PostgreSQL; every method is one statement."""

    db: AsyncEngine

    async def add(self, token_id: str, label: str) -> None:
        """Store the label of a token, unless it has one."""
        added = insert(LABEL).values(token_id=token_id, label=label).on_conflict_do_nothing()
        async with self.db.begin() as connection:
            await connection.execute(added)

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
            except SQLAlchemyError as error:  # the end of this task would be that of the service
                _log.warning("uses of API tokens are not noted: %s", type(error).__name__)
