"""When a lease ends: as promised at the claim or by the last heartbeat that named it.

Heartbeats are not events: they live in a table, and the later of the two times counts. While the
runner is down or cannot hear, silence proves nothing: no lease ends before ``floor``, except those
of workers that are known to be dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_GONE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class LeaseKey:
    """One lease of one task."""

    job_id: str
    index: int
    lease: int


@dataclass(frozen=True, slots=True)
class Due:
    """A lease and the time at which it ends."""

    key: LeaseKey
    until: datetime


def due(
    held: Mapping[LeaseKey, datetime | None], heard: Mapping[LeaseKey, datetime], floor: datetime
) -> tuple[Due, ...]:
    """Return all leases ordered by their end.

    ``held`` maps each lease to the end promised at its claim, None when its worker is dead;
    ``heard`` maps it to the end promised by the last heartbeat.
    """
    ends = (
        Due(key, _GONE if promised is None else max(promised, heard.get(key, promised), floor))
        for key, promised in held.items()
    )
    return tuple(sorted(ends, key=lambda d: (d.until, d.key)))


def over(leases: Iterable[Due], now: datetime) -> tuple[Due, ...]:
    """Return the leases that have ended."""
    return tuple(lease for lease in leases if lease.until <= now)
