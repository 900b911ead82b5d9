"""A task of a job that another system ran."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ImportedTask:
    """A task under the number that the other system gave it, with its last known state."""

    number: int
    state: str
    requested: int
    simulated: int
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime | None
