"""First tables of the results service."""

import sqlalchemy as sa
from alembic import op

from kerma_common.process.tables import create_process_tables
from kerma_common.projection.tables import projection_tables
from kerma_common.security import identity

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _shared()
    _sources()
    _result_sets()
    _copies()


def _shared() -> None:
    shared = sa.MetaData()
    projection_tables(shared)
    for table in identity.METADATA.sorted_tables:
        table.to_metadata(shared)
    shared.create_all(op.get_bind())
    create_process_tables(op.get_bind(), "results")


def _sources() -> None:
    op.create_table(
        "job_source",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("input_sha256", sa.Text, nullable=False),
        sa.Column("input_size", sa.BigInteger, nullable=False),
        sa.Column("input_media", sa.Text, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.text("false")),
    )
    op.create_table(
        "task_output",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("lease", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("primaries", sa.BigInteger, nullable=False),
        sa.Column("output_sha256", sa.Text, nullable=False),
        sa.Column("output_size", sa.BigInteger, nullable=False),
        sa.Column("output_media", sa.Text, nullable=False),
    )
    op.create_table(
        "task_log",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("log_sha256", sa.Text, nullable=False),
        sa.Column("log_size", sa.BigInteger, nullable=False),
        sa.Column("log_media", sa.Text, nullable=False),
    )


def _result_sets() -> None:
    op.create_table(
        "result_set",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tasks", sa.Integer, nullable=False),
        sa.Column("expected", sa.Integer, nullable=False),
        sa.Column("partial", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("published", sa.Boolean, nullable=False, server_default=sa.text("false")),
    )
    op.create_index(
        "result_set_unfinished",
        "result_set",
        ["job_id"],
        postgresql_where=sa.text("NOT published AND state <> 'FAILED'"),
    )
    op.create_table(
        "estimator",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("metadata_sha256", sa.Text, nullable=False),
    )
    op.create_table(
        "page",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("estimator", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("shape", sa.ARRAY(sa.Integer), nullable=False),
        sa.Column("array_sha256", sa.Text, nullable=False),
        sa.Column("array_size", sa.BigInteger, nullable=False),
        sa.Column("fragment_sha256", sa.Text, nullable=False),
        sa.Column("fragment_size", sa.BigInteger, nullable=False),
        sa.Column("crc32", sa.BigInteger, nullable=False),
        sa.Column("raw_size", sa.BigInteger, nullable=False),
    )


def _copies() -> None:
    op.create_table(
        "estimator_metadata",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("estimator", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "page_fragment",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("estimator", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    # fragments are compressed already
    op.execute("ALTER TABLE page_fragment ALTER COLUMN body SET STORAGE EXTERNAL")
