"""Credentials are found by their user. Never edit this file: add a revision."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_auth_vault_credential_user_id", "credential", ["user_id"])
