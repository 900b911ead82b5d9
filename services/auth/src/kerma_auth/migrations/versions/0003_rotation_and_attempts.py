"""Sessions know their current refresh token; attempts are counted. Never edit this file."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.alter_column("session", "refresh_hash", nullable=True)
    op.add_column(
        "session", sa.Column("generation", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
    op.add_column("session", sa.Column("rotated", sa.DateTime(timezone=True)))
    op.add_column("session", sa.Column("ended", sa.DateTime(timezone=True)))
    op.create_index("ix_auth_vault_session_user_id", "session", ["user_id"])
    op.create_table(
        "attempt_window",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_auth_vault_attempt_window_expires", "attempt_window", ["expires"])
