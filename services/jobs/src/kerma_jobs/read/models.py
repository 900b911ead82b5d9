"""Tables of the jobs read model.

Column groups are disjoint by stream, so rows do not depend on how streams interleave: the job's
own events write ``state`` and what belongs to it, the runner's write ``task_started_at``,
``tasks_seq`` and the tasks' progress, the results' write ``merge_started_at`` and ``results_seq``. What
users see follows from the groups. Tasks of jobs that another system ran come with the job. The runner
has no events on jobs on a cluster: their own events write its columns, except ``tasks_seq``.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()
_TIME = DateTime(timezone=True)

JOB = Table(
    "job",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("owner", Text, nullable=False, server_default=""),
    Column("title", Text, nullable=False, server_default=""),
    Column("platform", Text, nullable=False, server_default=""),
    Column("sim_type", Text, nullable=False, server_default=""),
    Column("engine", Text, nullable=False, server_default=""),
    Column("engine_version", Text, nullable=False, server_default=""),
    Column("input_kind", Text, nullable=False, server_default=""),
    Column("input_sha256", Text),
    Column("input_size", BigInteger),
    Column("project_sha256", Text),
    Column("project_size", BigInteger),
    Column("primaries", BigInteger, nullable=False, server_default="0"),
    Column("n_tasks", Integer, nullable=False, server_default="0"),
    Column("state", Text),  # null until the submission is projected
    Column("submitted_at", _TIME),
    Column("ended_at", _TIME),
    Column("partial", Boolean, nullable=False, server_default=text("false")),
    Column("tasks_merged", Integer),
    Column("primaries_merged", BigInteger),
    Column("failure", Text),
    Column("stored_bytes", BigInteger, nullable=False, server_default="0"),
    Column("task_started_at", _TIME),
    # of the last event of a task, so that the row changes whenever a task does
    Column("tasks_seq", BigInteger, nullable=False, server_default="0"),
    Column("merge_started_at", _TIME),
    # of the last events of the job and of its result set
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("results_seq", BigInteger, nullable=False, server_default="0"),
    Column("origin", Text, nullable=False, server_default=""),  # the system that ran the job
    # of jobs on a cluster
    Column("cluster_name", Text),
    Column("keys_from", _TIME),
    Column("tasks_ended_at", _TIME),
    Column(
        "shown_state",
        Text,
        Computed(
            "CASE WHEN state = 'PENDING' AND task_started_at IS NOT NULL THEN 'RUNNING' "
            "WHEN state = 'MERGING_QUEUED' AND merge_started_at IS NOT NULL "
            "THEN 'MERGING_RUNNING' ELSE state END",
            persisted=True,
        ),
    ),
    Index("job_by_owner_start", "owner", "submitted_at", "job_id"),
    Index("job_by_owner_end", "owner", "ended_at", "job_id"),
    Index("job_waiting", "engine", postgresql_where=text("state = 'PENDING'")),
    Index("job_active", "owner", postgresql_where=text("ended_at IS NULL")),
    Index("job_by_owner_seq", "owner", "seq"),
)

DELETED = Table(
    "job_deleted",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("job_deleted_by_owner", "owner", "seq"),
)
"""What remains of deleted jobs, so that a repeated deletion and a page that missed it are answered."""

OWNER = Table(
    "job_owner",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("submitted_seq", BigInteger, nullable=False),
)
"""Changes whenever the owner gets a job."""

DELETION = Table(
    "job_deletion",
    METADATA,
    Column("only", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
"""A single row, which changes whenever a job is deleted: the event does not name the owner."""

ESTIMATOR = Table(
    "estimator",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("stored_bytes", BigInteger, nullable=False),
)

OFFER = Table(
    "offer",
    METADATA,
    Column("worker", Text, primary_key=True),
    Column("engines", JSONB, nullable=False),
    Column("substitutes", JSONB, nullable=False),
    Column("slots", Integer, nullable=False),
)

TASK = Table(
    "task",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("state", Text, nullable=False, server_default="PENDING"),
    Column("lease", Integer, nullable=False, server_default="0"),
    Column("simulated", BigInteger, nullable=False, server_default="0"),
    Column("requested", BigInteger),  # where it is not the share by our rule
    Column("started_at", _TIME),
    Column("ended_at", _TIME),
    Column("updated_at", _TIME),
    Column("failure", Text),
    # why a waiting task had to be queued again, and when its next attempt may begin
    Column("requeued", Text),
    Column("not_before", _TIME),
    Index("task_running", "job_id", postgresql_where=text("state = 'RUNNING'")),
)
"""Tasks with any event: thousands of waiting tasks of a job take a single row."""
