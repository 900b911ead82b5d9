"""Hot reads: prepared statements on connections of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerma_common.db.connections import Connections, Statement, open_connections, rendered

if TYPE_CHECKING:
    from sqlalchemy import SelectBase

    from kerma_common.settings import PgSettings

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """Read-only statements, each a transaction. ``schema`` is that of tables without one."""

    connections: Connections
    schema: str

    def statement(self, select: SelectBase) -> Statement:
        """Render a statement once, for many executions."""
        return rendered(select, self.schema)

    async def first(self, statement: Statement, **parameters: Any) -> Row | None:
        """Return the first row; None if there is none."""
        rows = await self.all(statement, **parameters)
        return rows[0] if rows else None

    async def all(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Return all rows. Raises Unavailable if no connection becomes free in time."""
        async with self.connections.lend() as connection:
            return await (await statement.execute(connection, **parameters)).fetchall()

    async def close(self) -> None:
        """Close the idle connections; others close when their statement ends."""
        await self.connections.close()


def open_reads(settings: PgSettings, application_name: str, schema: str) -> Reads:
    """Return the hot reads of a service; they connect when they are first used."""
    return Reads(open_connections(settings, application_name, settings.readers), schema)
