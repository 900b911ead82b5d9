"""The checked-in REST document is that of the routes."""

from __future__ import annotations

from pathlib import Path

import orjson

from kerma_allinone.edge.openapi import OPENAPI, openapi_document

DOCS = Path(__file__).parents[3] / "docs"


def test_the_checked_in_document_is_current() -> None:
    assert (DOCS / OPENAPI).read_bytes() == openapi_document(), (
        f"docs/{OPENAPI} is out of date: run './kerma generate'"
    )


def test_internal_paths_are_left_out_and_every_operation_says_who_may_call_it() -> None:
    paths = orjson.loads(openapi_document())["paths"]
    assert "/jobs/direct" in paths
    assert not [path for path in paths if path.startswith("/internal")]
    for operations in paths.values():
        for operation in operations.values():
            assert "security" in operation
    assert paths["/auth/login"]["post"]["security"] == []
    assert paths["/jobs"]["get"]["security"] == [{"cookie": []}, {"bearer": []}]
