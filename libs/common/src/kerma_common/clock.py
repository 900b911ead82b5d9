"""The only place that reads the wall clock, and the beat of periodic work."""

import time
from datetime import UTC, datetime


def system_clock() -> datetime:
    """Return the current time, timezone-aware, in UTC."""
    return datetime.now(UTC)


def until_next(period: float) -> float:
    """Return the seconds until the next multiple of ``period`` on the machine's monotonic clock.

    Periodic work that waits like this wakes the process, and the servers it asks, once for all.
    """
    return period - time.monotonic() % period
