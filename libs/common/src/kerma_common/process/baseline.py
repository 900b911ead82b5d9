"""The tables of process managers as revision 0001 of a service's migrations creates them.

Never edit this: a change is another revision. Tables that predate migrations are adopted, and get
the columns that the first of them lacked.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_TIME = sa.DateTime(timezone=True)


def create_process_tables(schema: str) -> None:
    """Create the tables in the schema of the migration; an index carries the schema's name."""
    _create_engine_tables(schema)
    op.create_table(
        "process_state",
        sa.Column("process", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "process_timer",
        sa.Column("process", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("timer", sa.Text, primary_key=True),
        sa.Column("due", _TIME, nullable=False),
        sa.Column("correlation", sa.Text, nullable=False),
        sa.Column("causation", sa.Text),
        sa.Column("error", sa.Text),
        if_not_exists=True,
    )
    op.create_index("process_timer_due", "process_timer", ["process", "due"], if_not_exists=True)
    op.create_table(
        "process_outbox",
        sa.Column("process", sa.Text, primary_key=True),
        sa.Column("cause", sa.Text, primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("position", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("correlation", sa.Text, nullable=False),
        sa.Column("causation", sa.Text),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("trace", sa.Text),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("error", sa.Text),
        if_not_exists=True,
    )
    op.execute("ALTER TABLE process_outbox ADD COLUMN IF NOT EXISTS trace text")


def _create_engine_tables(schema: str) -> None:
    op.create_table(
        "checkpoint",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("commit", sa.Text),
        sa.Column("fence", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.execute("ALTER TABLE checkpoint ADD COLUMN IF NOT EXISTS commit text")
    op.create_table(
        "lease",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "quarantine",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("commit", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("release", sa.Text),
        sa.Column("at", _TIME, nullable=False, server_default=sa.func.now()),
        if_not_exists=True,
    )
    op.create_index(
        f"ix_{schema}_quarantine_subject", "quarantine", ["subject"], if_not_exists=True
    )
