"""A projection that stands still, without fault, for as long as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.projection.rows.tables import CHECKPOINT


@asynccontextmanager
async def held(db: AsyncEngine, projection: str) -> AsyncIterator[None]:
    """Keep a projection from storing anything: its commits wait for its checkpoints."""
    rows = select(CHECKPOINT.c.seq).where(CHECKPOINT.c.name == projection).with_for_update()
    async with db.connect() as connection, connection.begin():
        assert (await connection.execute(rows)).all()
        yield
