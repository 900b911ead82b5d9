"""Labels of API tokens know their user and when they expire. Never edit this file."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("api_token_label", sa.Column("user_id", sa.Text))
    # no token lives longer
    longest = sa.text("now() + interval '366 days'")
    time = sa.DateTime(timezone=True)
    op.add_column(
        "api_token_label", sa.Column("expires", time, nullable=False, server_default=longest)
    )
    op.alter_column("api_token_label", "expires", server_default=None)
    op.add_column(
        "api_token_label", sa.Column("at", time, nullable=False, server_default=sa.func.now())
    )
    op.create_index("ix_auth_vault_api_token_label_user_id", "api_token_label", ["user_id"])
    op.create_index("ix_auth_vault_api_token_label_expires", "api_token_label", ["expires"])
