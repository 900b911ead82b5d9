"""Old request keys of all users are found by their age. Never edit this file: add a revision."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("request_key_by_time", "request_key", ["at"], if_not_exists=True)
