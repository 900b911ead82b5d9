"""The only place that reads the wall clock."""

from datetime import UTC, datetime


def system_clock() -> datetime:
    """Return the current time, timezone-aware, in UTC."""
    return datetime.now(UTC)
