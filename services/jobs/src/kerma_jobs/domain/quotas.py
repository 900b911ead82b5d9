"""Quotas: what one user may have and submit, by role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

WINDOW_SECONDS = 60
SOON_SECONDS = 30
"""When to try again if the wait is unknown."""
DEFAULT_ROLE = "default"
"""The quotas of users without a role that has its own."""


class Quota(StrEnum):
    """A counted quantity."""

    ACTIVE_JOBS = "active_jobs"
    WAITING_TASKS = "waiting_tasks"
    STORED_BYTES = "stored_bytes"
    SUBMISSIONS_PER_MINUTE = "submissions_per_minute"


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits of one user. ``active_jobs`` have not ended; ``stored_bytes`` are of all jobs."""

    active_jobs: int = 200
    waiting_tasks: int = 100_000
    stored_bytes: int = 100 << 30
    submissions_per_minute: int = 300


@dataclass(frozen=True, slots=True)
class Usage:
    """What a user has, including submissions under way.

    ``submissions`` counts the last minute; ``next_submission`` is the number of seconds until there
    is room for one more, 0 when there is.
    """

    active_jobs: int = 0
    waiting_tasks: int = 0
    stored_bytes: int = 0
    submissions: int = 0
    next_submission: float = 0.0


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The quota that a submission would exceed.

    After ``retry_after`` seconds there may be room; None when waiting does not help.
    """

    quota: Quota
    used: int
    limit: int
    retry_after: float | None
    message: str


def quotas_of(roles: Iterable[str], by_role: Mapping[str, Quotas]) -> Quotas:
    """Return the quotas of a user: the largest of each over the user's roles."""
    granted = [by_role[role] for role in roles if role in by_role]
    if not granted:
        return by_role.get(DEFAULT_ROLE, Quotas())
    return Quotas(
        max(quotas.active_jobs for quotas in granted),
        max(quotas.waiting_tasks for quotas in granted),
        max(quotas.stored_bytes for quotas in granted),
        max(quotas.submissions_per_minute for quotas in granted),
    )


def exceeded(usage: Usage, quotas: Quotas, *, tasks: int, size: int) -> Exceeded | None:
    """Return the quota that another job of ``tasks`` tasks and ``size`` input bytes exceeds."""
    if usage.submissions >= quotas.submissions_per_minute:
        return Exceeded(
            Quota.SUBMISSIONS_PER_MINUTE,
            usage.submissions,
            quotas.submissions_per_minute,
            usage.next_submission,
            f"You have submitted {usage.submissions} jobs within a minute, and "
            f"{quotas.submissions_per_minute} are allowed; the next one is in "
            f"{usage.next_submission:.0f} s",
        )
    if usage.active_jobs >= quotas.active_jobs:
        return Exceeded(
            Quota.ACTIVE_JOBS,
            usage.active_jobs,
            quotas.active_jobs,
            SOON_SECONDS,
            f"{usage.active_jobs} of your jobs have not ended, and {quotas.active_jobs} are "
            "allowed; there is room when one of them ends",
        )
    if usage.waiting_tasks + tasks > quotas.waiting_tasks:
        return Exceeded(
            Quota.WAITING_TASKS,
            usage.waiting_tasks,
            quotas.waiting_tasks,
            SOON_SECONDS if tasks <= quotas.waiting_tasks else None,
            f"{usage.waiting_tasks} of your tasks wait, and {quotas.waiting_tasks} are allowed, "
            f"which leaves no room for {tasks}; there is room when enough of them have started",
        )
    if usage.stored_bytes + size > quotas.stored_bytes:
        return Exceeded(
            Quota.STORED_BYTES,
            usage.stored_bytes,
            quotas.stored_bytes,
            None,
            f"Your jobs store {usage.stored_bytes} bytes, and {quotas.stored_bytes} are allowed; "
            "delete jobs to make room",
        )
    return None
