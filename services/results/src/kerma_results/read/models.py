"""Tables of the results read model.

Each table is written by the events of one stream only, so rows do not depend on how streams
interleave; both streams write the same into the source of a job that another system ran. ``page_fragment`` and ``estimator_metadata`` hold copies of blobs that the rows of
``page`` and ``estimator`` refer to; they are written before those rows and mean nothing without.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

from kerma_common.projection.rows.schema import STORAGE

METADATA = MetaData()

JOB_SOURCE = Table(
    "job_source",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("input_sha256", Text, nullable=False),
    Column("input_size", BigInteger, nullable=False),
    Column("input_media", Text, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    Column("failure_code", Text),
    Column("failure", Text),
    # the logs of a job that another system ran
    Column("log_sha256", Text),
    Column("log_size", BigInteger),
    Column("log_media", Text),
    Column("platform", Text, nullable=False),
    Column("n_tasks", Integer, nullable=False),
    Column("primaries", BigInteger, nullable=False),
    Column("ended", Text),
    Column("keys_from", DateTime(timezone=True)),
)
"""From JOBS. ``ended`` says how a job ended, or is about to, that takes no results any more; update
keys from before ``keys_from`` are void."""

TASK_OUTPUT = Table(
    "task_output",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("lease", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("primaries", BigInteger, nullable=False),
    Column("output_sha256", Text, nullable=False),
    Column("output_size", BigInteger, nullable=False),
    Column("output_media", Text, nullable=False),
)
"""From RUNNER: the outputs of succeeded tasks."""

TASK_LOG = Table(
    "task_log",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("failed", Boolean, nullable=False),
    Column("code", Text),
    Column("reason", Text),
    Column("seq", BigInteger, nullable=False),
    Column("log_sha256", Text),
    Column("log_size", BigInteger),
    Column("log_media", Text),
)
"""From RUNNER: failed attempts, and the logs of succeeded ones."""

DELIVERED_LOG = Table(
    "delivered_log",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("log_sha256", Text, nullable=False),
    Column("log_size", BigInteger, nullable=False),
    Column("log_media", Text, nullable=False),
)
"""From RESULTS: logs that were delivered from outside of Kerma."""

REPORTED_LOG = Table(
    "reported_log",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("log_sha256", Text, nullable=False),
    Column("log_size", BigInteger, nullable=False),
    Column("log_media", Text, nullable=False),
)
"""From JOBS: logs that came with a report on a job, by the position of the report."""

RESULT_SET = Table(
    "result_set",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("expected", Integer, nullable=False),
    Column("partial", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("published", Boolean, nullable=False, server_default=text("false")),
    Index(
        "result_set_unfinished",
        "job_id",
        postgresql_where=text("NOT published AND state <> 'FAILED'"),
    ),
)

ESTIMATOR = Table(
    "estimator",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("metadata_sha256", Text, nullable=False),
)

PAGE = Table(
    "page",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("estimator", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("shape", ARRAY(Integer), nullable=False),
    Column("array_sha256", Text, nullable=False),
    Column("array_size", BigInteger, nullable=False),
    Column("fragment_sha256", Text, nullable=False),
    Column("fragment_size", BigInteger, nullable=False),
    Column("crc32", BigInteger, nullable=False),
    Column("raw_size", BigInteger, nullable=False),
)

ESTIMATOR_METADATA = Table(
    "estimator_metadata",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("estimator", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

PAGE_FRAGMENT = Table(
    "page_fragment",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("estimator", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("part", Integer, primary_key=True),
    # compressed already
    Column("body", LargeBinary, nullable=False, info={STORAGE: "EXTERNAL"}),
)
