"""The queue of truth, heartbeats, and the process manager's tables."""

import sqlalchemy as sa
from alembic import op
from kerma_common.process.tables import create_process_tables
from kerma_common.projection.tables import projection_tables
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "task",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("resource_class", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lease", sa.Integer, nullable=False, server_default="0"),
        sa.Column("worker", sa.Text),
        sa.Column("until", _TIME),
        sa.Column("not_before", _TIME),
        sa.Column("canceling", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("queued_seq", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "task_waiting",
        "task",
        ["resource_class", "queued_seq", "index"],
        postgresql_where=sa.text("state = 'QUEUED'"),
    )
    op.create_index(
        "task_held",
        "task",
        ["worker"],
        postgresql_where=sa.text("state IN ('LEASED', 'RUNNING')"),
    )
    op.create_table(
        "worker",
        sa.Column("worker", sa.Text, primary_key=True),
        sa.Column("resource_class", sa.Text, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("engines", JSONB, nullable=False),
    )
    op.create_table(
        "worker_heartbeat",
        sa.Column("worker", sa.Text, primary_key=True),
        sa.Column("seen", _TIME, nullable=False),
        sa.Column("leases", JSONB, nullable=False),
    )
    own = sa.MetaData()
    projection_tables(own)
    own.create_all(op.get_bind())
    create_process_tables(op.get_bind(), "runner")
