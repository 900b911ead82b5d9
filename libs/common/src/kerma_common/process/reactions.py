"""The effects of reactions: changed states, row operations, and commands to execute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from psycopg import sql

from kerma_common.contracts import registry
from kerma_common.process.outbox import Owed, Relay
from kerma_common.process.tables import STATE, TIMER
from kerma_common.projection.rows.ops import Delete, Op, Upsert
from kerma_common.projection.rows.tables import schema_of

if TYPE_CHECKING:
    from psycopg import AsyncConnection as Driver
    from sqlalchemy.ext.asyncio import AsyncConnection

    from kerma_common.process.manager import ProcessManager, Reaction


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a reaction: ``id`` never changes, the rest goes into its commits."""

    id: str
    correlation: str
    causation: str | None
    after: dict[str, int]
    trace: str | None = None


class Reactions:
    """The reactions of one transaction."""

    def __init__(self, manager: ProcessManager[Any], relay: Relay, now: datetime) -> None:
        self._manager = manager
        self._relay = relay
        self._codec = registry.adapter(manager.state_type)
        self.now = now
        self.states: dict[str, Any] = {}
        self.operations: list[Op] = []
        self.owed: list[Owed] = []
        self.timers_set = False

    def query(self, keys: Iterable[str], schema: str) -> tuple[bytes, Sequence[object]]:
        """Return the statement, and its parameters, that reads the states of these instances."""
        return _states(schema), (self._manager.name, list(keys))

    def take(self, keys: Iterable[str], rows: Iterable[tuple[str, Any]]) -> None:
        """Keep the states that were read; None for new instances.

        Raises ValueError for a state that this release cannot decode.
        """
        self.states.update(dict.fromkeys(keys))
        for key, state in rows:
            self.states[key] = self._codec.validate_python(state)

    async def load(self, conn: AsyncConnection, key: str) -> None:
        """Read the state of one instance; see ``take``."""
        driver = cast("Driver[Any]", (await conn.get_raw_connection()).driver_connection)
        found = await driver.execute(*self.query([key], schema_of(conn)))
        self.take([key], await found.fetchall())

    def add(self, key: str, cause: Cause, reaction: Reaction[Any]) -> None:
        """Add a reaction of one instance."""
        instance = {"process": self._manager.name, "key": key}
        if reaction.state is None:
            self.operations += (Delete(STATE, instance), Delete(TIMER, instance))
        elif reaction.state != self.states[key]:
            state = self._codec.dump_python(reaction.state, mode="json")
            self.operations.append(Upsert(STATE, instance, {"state": state}))
        self.states[key] = reaction.state
        for timer in reaction.timers:
            name = instance | {"timer": timer.name}
            if timer.due is None:
                self.operations.append(Delete(TIMER, name))
                continue
            self.timers_set = True
            values = {
                "due": timer.due,
                "correlation": cause.correlation,
                "causation": cause.causation,
                "error": None,
            }
            self.operations.append(Upsert(TIMER, name, values))
        for n, command in enumerate(reaction.commands):
            owed = Owed(
                key,
                cause.id,
                n,
                command,
                cause.correlation,
                cause.causation,
                cause.after,
                self.now,
                cause.trace,
            )
            self.operations.append(self._relay.row(owed))
            self.owed.append(owed)


@cache
def _states(schema: str) -> bytes:
    statement = sql.SQL("SELECT key, state FROM {} WHERE process = %s AND key = ANY(%s)")
    return statement.format(sql.Identifier(schema, STATE.name)).as_bytes(None)
