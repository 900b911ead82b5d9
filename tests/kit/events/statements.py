"""Statements that this process sends to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest


@contextmanager
def counted() -> Iterator[list[str]]:
    """Note the statements of the block, also those of what runs beside it."""
    noted: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "executemany"):
            own = getattr(psycopg.AsyncCursor, name)

            async def noting(
                cursor: Any, query: Any, *rest: Any, _own: Any = own, **how: Any
            ) -> Any:
                noted.append(str(query))
                return await _own(cursor, query, *rest, **how)

            patch.setattr(psycopg.AsyncCursor, name, noting)
        yield noted
