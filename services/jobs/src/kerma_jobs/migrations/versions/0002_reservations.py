"""Submissions under way, which quotas count. Never edit this file: add a revision."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "reservation",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tasks", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False, server_default=sa.text("true")),
        if_not_exists=True,
    )
    op.create_index("reservation_by_owner", "reservation", ["owner", "at"], if_not_exists=True)
