"""Files that are generated from the event registry, the routes and the read models."""

from __future__ import annotations

from pathlib import Path

from kerma_allinone.edge.openapi import OPENAPI, openapi_document
from kerma_common.contracts.document import documents, write_documents
from kerma_tools.golden import write_missing, write_read_models
from kerma_tools.paths import ROOT


def generate_all() -> list[Path]:
    """Write what is generated; the files that changed, relative to the clone.

    Raises RevisionNotRaisedError when the tables of a read model changed and its revision did not.
    """
    made = {**documents(), OPENAPI: openapi_document()}
    changed = [*write_documents(ROOT / "docs", made), *write_missing(), *write_read_models()]
    return [path.relative_to(ROOT) for path in changed]
