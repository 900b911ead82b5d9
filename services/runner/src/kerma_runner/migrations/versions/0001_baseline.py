"""Tables of the process manager, and heartbeats. Never edit this file: add a revision."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from kerma_common.process.baseline import create_process_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_process_tables("runner_process")
    op.create_table(
        "worker_heartbeat",
        sa.Column("worker", sa.Text, primary_key=True),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leases", postgresql.JSONB, nullable=False),
        if_not_exists=True,
    )
