"""Progress that clusters report. Never edit this file: add a revision."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "task_progress",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("simulated", sa.BigInteger, nullable=False),
        sa.Column("eta_seconds", sa.Float),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
