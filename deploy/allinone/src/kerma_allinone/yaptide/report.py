"""What an import found, took over and left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MOST_LISTED = 10_000
"""Omissions that are listed; further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Note:
    """A row that was left out or changed, and why; ``row`` is its id in its table."""

    table: str
    row: int
    reason: str


@dataclass(slots=True)
class Report:
    """Counts by table. Rows of jobs that are here already are not looked at."""

    found: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    omissions: list[Note] = field(default_factory=list)
    changes: list[Note] = field(default_factory=list)

    def skip(self, note: Note) -> None:
        """Note that a row is left out."""
        self.skipped[note.table] += 1
        if len(self.omissions) < MOST_LISTED:
            self.omissions.append(note)

    def change(self, note: Note) -> None:
        """Note that a row was taken over, but not as it is."""
        self.changed[note.table] += 1
        if len(self.changes) < MOST_LISTED:
            self.changes.append(note)

    def note(self, omissions: Iterable[Note], changes: Iterable[Note]) -> None:
        """Take over what a conversion has noted."""
        for note in omissions:
            self.skip(note)
        for note in changes:
            self.change(note)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        tables = sorted({*self.found, *self.taken, *self.known, *self.skipped, *self.changed})
        counts = ("found", "taken", "known", "skipped", "changed")
        return {
            "tables": {
                table: {name: getattr(self, name)[table] for name in counts} for table in tables
            },
            "skipped": [_plain(note) for note in self.omissions],
            "changed": [_plain(note) for note in self.changes],
        }


def _plain(note: Note) -> dict[str, Any]:
    return {"table": note.table, "id": note.row, "reason": note.reason}
