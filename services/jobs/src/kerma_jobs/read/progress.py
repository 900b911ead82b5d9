"""The table of the progress that clusters report: in no event, so beside the read model."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, MetaData, Table, Text

from kerma_common.process.tables import process_schema

METADATA = MetaData(schema=process_schema("jobs"))

TASK_PROGRESS = Table(
    "task_progress",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("simulated", BigInteger, nullable=False),
    Column("eta_seconds", Float),
    Column("reported_at", DateTime(timezone=True), nullable=False),
)
"""The furthest progress of tasks on clusters, until their job is deleted."""
