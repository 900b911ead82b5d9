"""Labels of API tokens. Never edit this file: add a revision."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "api_token_label",
        sa.Column("token_id", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("last_used", sa.DateTime(timezone=True)),
    )
