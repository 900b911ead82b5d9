"""Tables that were dropped while a process uses them."""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError

_MISSING = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)


def missing_table(error: BaseException) -> str | None:
    """Return PostgreSQL's sentence about a missing table or schema; None for other errors."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, _MISSING):
        return None
    return cause.diag.message_primary or type(cause).__name__
