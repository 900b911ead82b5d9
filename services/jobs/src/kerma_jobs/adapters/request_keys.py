"""Which job an `Idempotency-Key` of a user stands for.

A key is claimed, durably, before anything else is done for it, by one row that says the id that the
job has or will have. Whoever repeats the request, at whatever replica, appends under the same id,
and the log takes one of the appends only. So a row without a job is harmless, and the answer to
"has it happened?" is in the log alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Interval,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from kerma_common.db.connections import Connections, rendered
from kerma_common.db.sweeping import Stale
from kerma_common.errors import TooManyRequests
from kerma_common.http.idempotency import RequestKey
from kerma_common.process.tables import process_schema
from kerma_jobs.app.ports import Claim

METADATA = MetaData(schema=process_schema("jobs"))
AGAIN_SECONDS = 3600.0
TOO_MANY = "You have used too many Idempotency-Keys lately; try again later, or without one"

REQUEST_KEY = Table(
    "request_key",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("request_key_by_age", "owner", "at"),
    Index("request_key_by_time", "at"),
)
"""Keys of the last hours, by SHA-256; ``digest`` is that of the first request with the key."""


def over(hours: float) -> Stale:
    """Return the keys that are older than ``hours``."""
    return Stale(REQUEST_KEY, REQUEST_KEY.c.at < func.now() - timedelta(hours=hours))


_owner: Any = bindparam("user")
_key: Any = bindparam("name")
_NOW = func.clock_timestamp()
_FORGET = delete(REQUEST_KEY).where(
    REQUEST_KEY.c.owner == _owner, REQUEST_KEY.c.at < _NOW - bindparam("kept", type_=Interval)
)
_FORGET_ALL = delete(REQUEST_KEY).where(REQUEST_KEY.c.owner == _owner)
_COUNTED = (
    select(func.count())
    .select_from(REQUEST_KEY)
    .where(REQUEST_KEY.c.owner == _owner)
    .scalar_subquery()
)
_CLAIM = (
    insert(REQUEST_KEY)
    .from_select(
        ["owner", "key", "digest", "job_id", "at"],
        select(
            cast(_owner, Text),
            cast(_key, Text),
            cast(bindparam("digest"), Text),
            cast(bindparam("job"), Text),
            _NOW,
        ).where(bindparam("most", type_=BigInteger) > _COUNTED),
    )
    .on_conflict_do_nothing()
)
_FOUND = select(REQUEST_KEY.c.job_id, REQUEST_KEY.c.digest).where(
    REQUEST_KEY.c.owner == _owner, REQUEST_KEY.c.key == _key
)


class RequestKeys:
    """Claims of keys, kept for ``hours``, at most ``most`` per user. ``schema`` is the read model's."""

    def __init__(self, connections: Connections, schema: str, hours: float, most: int) -> None:
        self._connections = connections
        self._kept = timedelta(hours=hours)
        self._most = most
        self._forget = rendered(_FORGET, schema)
        self._forget_all = rendered(_FORGET_ALL, schema)
        self._claim = rendered(_CLAIM, schema)
        self._found = rendered(_FOUND, schema)

    async def claim(self, owner: str, key: RequestKey, job_id: str) -> Claim:
        """See ``Keys``."""
        names = {"user": owner, "name": key.key}
        async with self._connections.lend() as connection:
            async with connection.pipeline():
                await connection.execute(b"BEGIN")
                await self._forget.execute(connection, user=owner, kept=self._kept)
                await self._claim.execute(
                    connection, **names, digest=key.digest, job=job_id, most=self._most
                )
                found = await self._found.execute(connection, **names)
                await connection.execute(b"COMMIT")
            row = await found.fetchone()
        if row is None:
            raise TooManyRequests(TOO_MANY, AGAIN_SECONDS)
        return Claim(*row)

    async def forget(self, owner: str) -> None:
        """See ``OwnedKeys``."""
        async with self._connections.lend() as connection:
            await self._forget_all.execute(connection, user=owner)
