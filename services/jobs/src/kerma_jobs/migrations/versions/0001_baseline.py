"""Tables of the jobs read model, of identity, and of the process managers."""

from alembic import op

from kerma_common.process.tables import create_process_tables
from kerma_common.projection.tables import create_read_tables
from kerma_common.security.identity import METADATA as IDENTITY
from kerma_jobs.read.models import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_read_tables(op.get_bind(), METADATA, IDENTITY)
    create_process_tables(op.get_bind(), "jobs")
