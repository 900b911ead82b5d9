"""Folding: many row operations become few, with the same effect as one by one.

Operations on different tables are independent, and so are operations that name rows by different
values of the same columns. So, per table, only a change of the naming columns starts a new phase;
inside a phase every row has at most one deletion, one update and one upsert, in that order. A series
of rows is a phase of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kerma_common.errors import ContractViolation
from kerma_common.projection.rows.ops import Delete, Op, Series, Update, Upsert

if TYPE_CHECKING:
    from sqlalchemy import Table

Columns = tuple[str, ...]
Values = tuple[Any, ...]


@dataclass(slots=True)
class Pending:
    """Pending operations on the rows of one name: first delete, then update, then upsert."""

    deleted: bool = False
    update: dict[str, Any] | None = None
    upsert: dict[str, Any] | None = None


@dataclass(slots=True)
class Phase:
    """Operations on one table that name rows by the same columns, keyed by their values.

    ``moves``: the phase is a single update that changes the naming columns themselves. ``series``:
    the phase is only this.
    """

    table: Table
    columns: Columns
    rows: dict[Values, Pending] = field(default_factory=dict)
    moves: bool = False
    series: Series | None = None

    @property
    def alone(self) -> bool:
        """Whether no other operation may join the phase."""
        return self.moves or self.series is not None


def fold(operations: Iterable[Op]) -> list[Phase]:
    """Return phases to apply in order; phases of different tables may be applied in any order."""
    folded = Folded()
    for op in operations:
        folded.add(op)
    return folded.phases


@dataclass(slots=True)
class Folded:
    """The phases of all added operations."""

    phases: list[Phase] = field(default_factory=list)
    _last: dict[Table, Phase] = field(default_factory=dict)

    def add(self, op: Op) -> None:
        """Add an operation after all earlier ones."""
        table = op.table
        if isinstance(op, Series):
            self._last[table] = Phase(table, _primary_key(table), series=op)
            self.phases.append(self._last[table])
            return
        naming = op.key if isinstance(op, Upsert) else op.where
        primary = _primary_key(table)
        columns = primary if naming.keys() == set(primary) else tuple(sorted(naming))
        if isinstance(op, Upsert) and columns is not primary:
            raise ContractViolation(f"{table.name}: an upsert names its row by the primary key")
        phase = self._last.get(table)
        # An update of the naming columns changes which rows later operations name.
        moves = isinstance(op, Update) and not op.values.keys().isdisjoint(columns)
        if phase is None or phase.columns != columns or phase.alone or moves:
            phase = self._last[table] = Phase(table, columns, moves=moves)
            self.phases.append(phase)
        name = tuple(naming[column] for column in columns)
        pending = phase.rows.get(name)
        if pending is None:
            pending = phase.rows[name] = Pending()
        _merge(pending, op)


def _merge(pending: Pending, op: Upsert | Update | Delete) -> None:
    if isinstance(op, Upsert):
        if pending.upsert is None:
            pending.upsert = dict(op.values)
        else:
            pending.upsert.update(op.values)
    elif isinstance(op, Delete):
        pending.deleted, pending.update, pending.upsert = True, None, None
    elif pending.upsert is not None:
        pending.upsert.update(op.values)
    elif pending.update is not None:
        pending.update.update(op.values)
    else:
        pending.update = dict(op.values)


_keys: dict[Table, Columns] = {}


def _primary_key(table: Table) -> Columns:
    found = _keys.get(table)
    if found is None:
        found = _keys[table] = tuple(column.name for column in table.primary_key)
    return found
