"""The tables of the vault. Never edit this file: add a revision."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # adopt tables that were created before migrations were tracked
    op.create_table(
        "credential",
        sa.Column("credential_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "session",
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("refresh_hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_auth_vault_session_expires", "session", ["expires"], if_not_exists=True)
    op.create_table(
        "private_key",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
