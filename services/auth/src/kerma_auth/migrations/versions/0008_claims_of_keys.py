"""Credentials claim the key of their request; replicas of the release before 0007 can insert labels.

Never edit this file: add a revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("credential", sa.Column("request_key", sa.Text))
    op.create_index(
        "ix_auth_vault_credential_request_key", "credential", ["request_key"], unique=True
    )
    # no token lives longer
    longest = sa.text("now() + interval '366 days'")
    op.alter_column("api_token_label", "expires", server_default=longest)
