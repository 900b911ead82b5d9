"""Files that are generated from the event registry and the routes."""

from __future__ import annotations

from pathlib import Path

from kerma_allinone.openapi import OPENAPI, openapi_document
from kerma_common.contracts.document import documents, write_documents
from kerma_tools.paths import ROOT


def generate_all() -> list[Path]:
    """Write what is generated; the files that changed, relative to the clone."""
    made = {**documents(), OPENAPI: openapi_document()}
    return [path.relative_to(ROOT) for path in write_documents(ROOT / "docs", made)]
