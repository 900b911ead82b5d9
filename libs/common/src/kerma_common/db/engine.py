"""The async engine of a service: SQLAlchemy Core on psycopg 3."""

from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kerma_common.db.driver import Connection
from kerma_common.settings import PgSettings

CONNECT_SECONDS = 5
DEAD_PEER_MS = 10_000
PREPARES = "kerma_prepares"
"""Execution option: whether connections outside the pool may prepare statements."""


def driver_url(url: str) -> URL:
    """Return a libpq URL for SQLAlchemy with psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


def create_engine(settings: PgSettings, application_name: str, schema: str) -> AsyncEngine:
    """Create a pool whose statements find tables without a schema in `schema`.

    Server-side prepared statements are off in the pool. A lost connection empties the pool;
    connections are not tested before use.
    """
    return create_async_engine(
        driver_url(settings.url.get_secret_value()),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_overflow,
        pool_timeout=settings.pool_seconds,
        execution_options={"schema_translate_map": {None: schema}, PREPARES: settings.prepare},
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
