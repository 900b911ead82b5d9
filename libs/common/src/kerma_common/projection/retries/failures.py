"""Transient failures, and the pauses between retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import psycopg
import sqlalchemy.exc

from kerma_common.errors import ConcurrencyConflict, KermaError, OutcomeUnknown, Unavailable

_PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    Unavailable,
    OutcomeUnknown,
    ConcurrencyConflict,
    ConnectionError,
    TimeoutError,
)


class LoopHalted(KermaError):  # noqa: N818 - names say what happened
    """Continuing would project wrongly; an operator must look. Ends the process."""


def is_transient(error: BaseException) -> bool:
    """Return whether the same action may succeed later: connections, locks, timeouts."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, _PASSING)
    return isinstance(error, _PASSING)


def delays() -> Iterator[float]:
    """Yield seconds between tries without end: doubling from 20 ms to 2 s, with jitter."""
    delay = 0.02
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311
        delay = min(delay * 2, 2.0)


async def pause(waits: Iterator[float]) -> None:
    """Sleep for the next delay."""
    await asyncio.sleep(next(waits))
