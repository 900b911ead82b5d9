"""Tables of the results read model, of identity, and of the process managers."""

from alembic import op

from kerma_common.process.tables import create_process_tables
from kerma_common.projection.tables import create_read_tables
from kerma_common.security.identity import METADATA as IDENTITY
from kerma_results.read.models import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_read_tables(op.get_bind(), METADATA, IDENTITY)
    # fragments are compressed already
    op.execute("ALTER TABLE page_fragment ALTER COLUMN body SET STORAGE EXTERNAL")
    create_process_tables(op.get_bind(), "results")
