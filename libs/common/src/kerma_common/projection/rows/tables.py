"""The tables of the loop; they are stored beside the rows whose positions they record."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kerma_common.errors import ContractViolation

_own = MetaData()

CHECKPOINT = Table(
    "checkpoint",
    _own,
    Column("name", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("commit", Text),
    Column("fence", BigInteger, nullable=False),
)
"""The last sequence of ``stream`` whose effect the rows of ``name`` hold.

The epoch, and the id of the commit at that sequence, show whether the stream is still the same.
"""

LEASE = Table(
    "lease",
    _own,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
)
"""Who may move the checkpoints of ``name``; every takeover raises the fence."""

QUARANTINE = Table(
    "quarantine",
    _own,
    Column("name", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
    Column("commit", LargeBinary, nullable=False),
    Column("error", Text),
    Column("release", Text),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""Commits that could not be applied, and those that wait behind them (``error`` is null)."""

READ_MODEL = Table(
    "read_model",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("shape", Text, nullable=False),
)
"""The declaration that made the tables of each read model; see ``projection.schema``."""


def projection_tables(metadata: MetaData) -> None:
    """Add the tables of the loop to the metadata of a service's read models."""
    for table in _own.sorted_tables:
        table.to_metadata(metadata)


def schema_of(conn: AsyncConnection | AsyncEngine) -> str:
    """Return the schema that tables without one are mapped to on this connection or engine."""
    options = conn.sync_engine.get_execution_options()
    if isinstance(conn, AsyncConnection) and conn.sync_connection is not None:
        options = conn.sync_connection.get_execution_options()
    schema = options.get("schema_translate_map", {}).get(None)
    if not schema:
        raise ContractViolation("the engine maps no schema for the service's tables")
    return str(schema)
