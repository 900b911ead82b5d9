"""Tables of the runner.

``task`` and ``worker`` are projected from the log. ``worker_heartbeat`` is not: it holds the last
heartbeat of each worker, worthless once a lease length has passed. It belongs to the schema of the
process managers, because a rebuild replaces the schema of the read models and would end running
leases.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from kerma_common.process.tables import process_schema

METADATA = MetaData()
HEARTBEATS = MetaData(schema=process_schema("runner"))
_TIME = DateTime(timezone=True)

TASK = Table(
    "task",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("resource_class", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lease", Integer, nullable=False, server_default="0"),
    Column("worker", Text),
    # the end promised at the claim; null once the worker that holds the task has died
    Column("until", _TIME),
    Column("not_before", _TIME),
    Column("canceling", Boolean, nullable=False, server_default=text("false")),
    Column("queued_seq", BigInteger, nullable=False),
    # trace context of the request that created the task; tickets carry it on
    Column("trace", Text),
    # every read of the dispatcher walks this index, whatever the planner's statistics say
    Index(
        "task_open",
        "resource_class",
        "engine",
        "state",
        "owner",
        "job_id",
        "index",
        postgresql_where=text("state IN ('QUEUED', 'LEASED', 'RUNNING')"),
        postgresql_include=["not_before"],
    ),
    Index(
        "task_backing_off",
        "not_before",
        postgresql_where=text("state = 'QUEUED' AND not_before IS NOT NULL"),
    ),
    Index("task_held", "worker", postgresql_where=text("state IN ('LEASED', 'RUNNING')")),
)

QUEUED = literal_column("'QUEUED'", Text)
OPEN = text("state IN ('QUEUED', 'LEASED', 'RUNNING')")
IS_HELD = text("state IN ('LEASED', 'RUNNING')")
"""Constants, not parameters: PostgreSQL uses a partial index only if it can prove its condition."""

WORKER = Table(
    "worker",
    METADATA,
    Column("worker", Text, primary_key=True),
    Column("resource_class", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("engines", JSONB, nullable=False),
    Column("digests", JSONB, nullable=False),
    Column("substitutes", JSONB, nullable=False),
    Column("sandbox", Text, nullable=False),
)

WORKER_HEARTBEAT = Table(
    "worker_heartbeat",
    HEARTBEATS,
    Column("worker", Text, primary_key=True),
    Column("seen", _TIME, nullable=False),
    Column("leases", JSONB, nullable=False),
)
