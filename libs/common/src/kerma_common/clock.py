"""The one place that reads the wall clock."""

from datetime import UTC, datetime


def system_clock() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)
