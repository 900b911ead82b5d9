"""The tables of process managers: state, timers and pending commands."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

from kerma_common.projection.rows.tables import projection_tables

_own = MetaData()
_TIME = DateTime(timezone=True)

STATE = Table(
    "process_state",
    _own,
    Column("process", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("state", JSON, nullable=False),
)

TIMER = Table(
    "process_timer",
    _own,
    Column("process", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("timer", Text, primary_key=True),
    Column("due", _TIME, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("causation", Text),
    Column("error", Text),
    Index("process_timer_due", "process", "due"),
)
"""Pending timers; ``error`` marks one whose handler failed, and which waits for a new release."""

OUTBOX = Table(
    "process_outbox",
    _own,
    Column("process", Text, primary_key=True),
    Column("cause", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("position", BigInteger, Identity(), nullable=False),
    Column("key", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("causation", Text),
    Column("after", JSON, nullable=False),
    Column("trace", Text),
    Column("created_at", _TIME, nullable=False),
    Column("error", Text),
)
"""Pending commands in order of ``position``.

``error`` marks parked ones, which are retried when a process starts to lead.
"""


def process_tables(metadata: MetaData) -> None:
    """Add the tables of process managers, checkpoints included, to a metadata."""
    projection_tables(metadata)
    for table in _own.sorted_tables:
        table.to_metadata(metadata)


def process_schema(service: str) -> str:
    """Return the schema that holds the process managers of a service."""
    return f"{service}_process"


def placed_process_tables(service: str) -> MetaData:
    """Return the tables of process managers, in the schema of a service.

    It is not the schema of the read models, because that is rebuilt and replaced.
    """
    unplaced, placed = MetaData(), MetaData()
    process_tables(unplaced)
    for table in unplaced.sorted_tables:
        table.to_metadata(placed, schema=process_schema(service))
    return placed
