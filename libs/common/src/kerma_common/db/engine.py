"""The async engine of a service: SQLAlchemy Core on psycopg 3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from kerma_common.db.driver import Connection

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import Pool

    from kerma_common.settings import PgSettings

CONNECT_SECONDS = 5
DEAD_PEER_MS = 10_000
IDLE_SECONDS = 15.0
"""Idle time after which connections are closed. Each is a process of PostgreSQL's and takes 2 to
4 MB."""
TURN_SECONDS = 1.0
"""How long periodic work waits for other periodic work."""
STATEMENTS = 500
"""Compiled statements that are kept for each service."""
PREPARES = "kerma_prepares"
"""Execution option: whether connections outside the pool may prepare statements."""


def driver_url(url: str) -> URL:
    """Return a libpq URL for SQLAlchemy with psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


def create_engine(settings: PgSettings, application_name: str, schema: str) -> AsyncEngine:
    """Create a pool whose statements find tables without a schema in `schema`; see `create_pool`."""
    return in_schema(create_pool(settings, application_name), schema)


def in_schema(engine: AsyncEngine, schema: str) -> AsyncEngine:
    """Return the same pool, for statements that find tables without a schema in `schema`."""
    return engine.execution_options(schema_translate_map={None: schema})


def create_pool(settings: PgSettings, application_name: str, services: int = 1) -> AsyncEngine:
    """Create a pool that so many services share.

    Server-side prepared statements are off in the pool. A lost connection empties the pool;
    connections are not tested before use.
    """
    return create_async_engine(
        driver_url(settings.url.get_secret_value()),
        query_cache_size=services * STATEMENTS,
        # The texts of errors are logged; parameters hold names, hashes of passwords, wrapped keys.
        hide_parameters=True,
        pool_size=services * settings.pool_size,
        max_overflow=services * settings.pool_overflow,
        pool_timeout=settings.pool_seconds,
        pool_use_lifo=True,  # the others can be closed when they have been idle for long
        execution_options={PREPARES: settings.prepare},
        connect_args={
            "async_creator_fn": Connection.connect,
            "application_name": application_name,
            "prepare_threshold": None,
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": DEAD_PEER_MS,
        },
    )


def autocommit(engine: AsyncEngine) -> AsyncEngine:
    """Return the same pool in autocommit mode, for single statements.

    A transaction costs two more round trips than the statement itself.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT")


_turns: WeakKeyDictionary[Pool, asyncio.Lock] = WeakKeyDictionary()


@asynccontextmanager
async def turn(engine: AsyncEngine) -> AsyncGenerator[None, None]:
    """Keep other periodic work on the pool waiting, but never for longer than ``TURN_SECONDS``.

    All such work falls on the same moments (``until_next``). One after another, it needs one
    connection; at once, it would keep one each from being idle.
    """
    lock = _turns.setdefault(engine.sync_engine.pool, asyncio.Lock())
    ours = True
    try:
        async with asyncio.timeout(TURN_SECONDS):
            await lock.acquire()
    except TimeoutError:
        ours = False
    try:
        yield
    finally:
        if ours:
            lock.release()


@asynccontextmanager
async def in_turn(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection, None]:
    """Lend a connection in autocommit mode for periodic work, in turn."""
    async with turn(engine), autocommit(engine).connect() as connection:
        yield connection
