"""The checked-in OpenAPI document matches the routes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from starlette.responses import Response

from kerma_allinone.edge.openapi import OPENAPI, openapi_document
from kerma_common.errors import ContractViolation
from kerma_common.http.answers import answer
from kerma_common.http.policy import public
from kerma_common.http.refusals.forms import PROBLEM_MEDIA
from kerma_common.http.refusals.statuses import statuses_of
from kerma_common.http.route import KermaRoute
from kerma_tools.generating import route_tables

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
NEVER = {"/results/partial"}
"""What no request is answered by yet."""


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


def _bodies(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the media types of an operation that have a body."""
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from part.get("content", {}).values()


def test_every_example_is_valid() -> None:
    document = orjson.loads(openapi_document())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for media in _bodies(operation):
                if "example" in media:
                    schema = {**media["schema"], "components": document["components"]}
                    checker = Draft202012Validator(schema)
                    faults = [fault.message for fault in checker.iter_errors(media["example"])]
                    assert not faults, f"{method} {path}: {faults}"


def test_every_operation_has_examples_of_what_it_takes_and_shows() -> None:
    paths = orjson.loads(openapi_document())["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            taken = operation.get("requestBody", {}).get("content", {}).values()
            assert all("example" in media for media in taken), f"{path}: see answers(takes=…)"
            done = min(operation["responses"])
            if not done.startswith("2"):
                assert path in NEVER
                continue
            shown = operation["responses"][done].get("content", {}).values()
            assert all("example" in media for media in shown), path
            assert shown or done == "204", path


def test_ids_of_operations_are_names_of_functions() -> None:
    paths = orjson.loads(openapi_document())["paths"]
    ids = [o["operationId"] for operations in paths.values() for o in operations.values()]
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() and name == name.lower() for name in ids)
    assert {"list_jobs", "submit_job", "yaptide_get_jobs"} <= set(ids)


def test_refusals_below_v1_are_problems() -> None:
    paths = orjson.loads(openapi_document())["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            refusal = operation["responses"]["400"]["content"]
            assert list(refusal) == [
                PROBLEM_MEDIA if path.startswith("/v1/") else "application/json"
            ]


def test_headers_of_conditional_requests_are_declared() -> None:
    paths = orjson.loads(openapi_document())["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            taken = {
                one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"
            }
            answers, tagged = operation["responses"], "304" in operation["responses"]
            assert ("If-None-Match" in taken) is tagged, path
            assert ("ETag" in answers.get("200", {}).get("headers", {})) is tagged, path
            assert ("If-Match" in taken) is ("412" in answers), path
    assert "Location" in paths["/v1/jobs"]["post"]["responses"]["201"]["headers"]
