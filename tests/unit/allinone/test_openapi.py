"""The checked-in OpenAPI document matches the routes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import orjson
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.responses import Response

from kerma_allinone.edge.openapi import OPENAPI, openapi_document
from kerma_common.errors import ContractViolation
from kerma_common.http.answers import answer
from kerma_common.http.policy import public
from kerma_common.http.route import KermaRoute
from kerma_common.http.statuses import statuses_of
from kerma_tools.generating import route_tables

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


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


def test_route_tables_of_services_are_those_of_the_routes() -> None:
    for path, content in route_tables().items():
        assert b"\n| Routes | `" in content
        assert (ROOT / path).read_bytes() == content, f"{path}: run './kerma generate'"


def test_every_operation_names_the_statuses_it_answers() -> None:
    paths = orjson.loads(openapi_document())["paths"]
    everywhere = {"400", "408", "431", "503"}
    for operations in paths.values():
        for operation in operations.values():
            assert everywhere < set(operation["responses"])
            assert "500" not in operation["responses"]
            assert ("401" in operation["responses"]) or not operation["security"]
            assert ("413" in operation["responses"]) is ("requestBody" in operation)
    assert set(paths["/jobs"]["get"]["responses"]) == everywhere | {"200", "401", "403", "404"}


def test_a_route_that_declares_no_status_is_found() -> None:
    router = APIRouter(route_class=KermaRoute)

    @router.get("/silent")
    @public()
    async def silent() -> Response:
        return answer("nobody knows")

    with pytest.raises(ContractViolation, match="/silent"):
        statuses_of(cast(APIRoute, router.routes[0]))
