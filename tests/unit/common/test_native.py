"""What the native interface has in common: problems, entity tags, cursors, forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.errors import (
    DomainRejected,
    InvalidRequest,
    KermaError,
    NotAcceptable,
    PreconditionFailed,
    QuotaExceeded,
    Unavailable,
)
from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.native import (
    cursor,
    entity_tag,
    read_cursor,
    require_json,
    require_unchanged,
    resource,
)
from kerma_common.http.policy import Principal, public
from kerma_common.http.refusals.forms import PROBLEM_MEDIA, TITLES, TYPES
from kerma_common.http.refusals.handlers import STATUS
from kerma_common.http.route import KermaRoute
from kerma_common.settings import HttpSettings

ERRORS: dict[str, Exception] = {
    "rejected": DomainRejected("JOB_ACTIVE", "It runs"),
    "fields": InvalidRequest("Wrong parameters", {"type": ["x", "y"], "status": ["z"]}),
    "quota": QuotaExceeded("Full", quota="jobs", used=3, limit=3, retry_after=None),
    "wait": QuotaExceeded("Full", quota="jobs", used=3, limit=3, retry_after=7.2),
    "unavailable": Unavailable("later", 2.5),
    "bug": ZeroDivisionError("secret"),
}


async def nobody(token: str) -> Principal:
    raise AssertionError(token)


async def healthy() -> dict[str, str]:
    return {}


@pytest.fixture
def client() -> httpx.AsyncClient:
    router = APIRouter(route_class=KermaRoute)

    @router.get("/v1/raise/{name}")
    @router.get("/raise/{name}")
    @public()
    async def fails(name: str) -> Response:
        raise ERRORS[name]

    @router.post("/v1/body")
    @router.post("/body")
    @public()
    async def body(body: dict[str, Any]) -> Response:
        return answer("ok", got=len(body))

    app = create_app(
        "test", verifier=nobody, health=healthy, settings=HttpSettings(), routers=[router]
    )
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def problem(client: httpx.AsyncClient, path: str) -> tuple[int, dict[str, Any]]:
    found = await client.get(path)
    assert found.headers["content-type"] == PROBLEM_MEDIA
    body = found.json()
    assert body["type"].startswith(TYPES)
    assert body["title"] == TITLES[body["type"].removeprefix(TYPES)]
    assert body["status"] == found.status_code
    return found.status_code, body


async def test_errors_below_v1_are_problems(client: httpx.AsyncClient) -> None:
    status, body = await problem(client, "/v1/raise/rejected")
    assert (status, body["code"], body["detail"]) == (409, "JOB_ACTIVE", "It runs")
    status, body = await problem(client, "/v1/raise/fields")
    assert (status, body["errors"]) == (
        400,
        [
            {"field": "type", "detail": "x"},
            {"field": "type", "detail": "y"},
            {"field": "status", "detail": "z"},
        ],
    )
    status, body = await problem(client, "/v1/raise/quota")
    assert (status, body["quota"], body["used"], body["limit"]) == (403, "jobs", 3, 3)
    assert (await problem(client, "/v1/raise/wait"))[0] == 429
    assert (await client.get("/v1/raise/wait")).headers["retry-after"] == "8"
    assert (await client.get("/v1/raise/unavailable")).headers["retry-after"] == "3"
    status, body = await problem(client, "/v1/raise/bug")
    assert (status, "secret" in str(body)) == (500, False)


async def test_refusals_before_and_beside_routes_are_problems_too(
    client: httpx.AsyncClient,
) -> None:
    assert (await problem(client, "/v1/nothing"))[0] == 404
    assert (await problem(client, "/v1/body"))[0] == 405
    status, body = await problem(client, "/v1/raise/a%0ab")
    assert (status, body["errors"][0]["field"]) == (400, "path")
    status, body = await problem(client, "/v1/raise/fields?x=1")
    assert (status, body["errors"]) == (400, [{"field": "x", "detail": "Unknown field."}])
    broken = await client.post("/v1/body", content=b"{")
    assert (broken.status_code, broken.headers["content-type"]) == (400, PROBLEM_MEDIA)
    large = await client.post("/v1/body", json={"a": "x" * 70_000})
    assert (large.status_code, large.json()["type"]) == (413, f"{TYPES}too-large")


@pytest.mark.parametrize("path", ["/raise/rejected", "/nothing", "/v1x", "/v1.1/nothing"])
async def test_other_paths_keep_the_envelope(client: httpx.AsyncClient, path: str) -> None:
    found = await client.get(path)
    assert found.headers["content-type"] == "application/json"
    assert isinstance(found.json()["message"], str)
    assert "type" not in found.json()


def test_every_kind_of_problem_has_a_title() -> None:
    assert {kind for _, kind in STATUS.values()} <= set(TITLES)
    listed = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    assert all(f"| `{kind}` | {title} |" in listed for kind, title in TITLES.items())
    known = {f for f in KermaError.__subclasses__() if f.__module__ == KermaError.__module__}
    assert known <= set(STATUS)


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Request({"type": "http", "headers": raw})


def test_a_client_that_has_a_resource_does_not_get_it_again() -> None:
    first = resource(request(), {"b": 1, "a": 2})
    assert (first.status_code, first.body) == (200, b'{"a":2,"b":1}')
    tag = first.headers["etag"]
    assert tag == entity_tag(b'{"a":2,"b":1}')
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = resource(request(if_none_match=header), {"a": 2, "b": 1})
        assert (again.status_code, again.body, again.headers["etag"]) == (304, b"", tag)
    assert resource(request(if_none_match='"other"'), {"a": 2, "b": 1}).status_code == 200


def test_a_change_is_refused_when_the_client_saw_something_else() -> None:
    tag = resource(request(), {"a": 1}).headers["etag"]
    for header in ({}, {"if_match": tag}, {"if_match": "*"}):
        require_unchanged(request(**header), {"a": 1})
    with pytest.raises(PreconditionFailed):
        require_unchanged(request(if_match=tag), {"a": 2})


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/*;q=0.1"])
def test_json_is_accepted(accept: str) -> None:
    require_json(request(accept=accept))
    require_json(request())


@pytest.mark.parametrize("accept", ["text/html", "application/x-npy, image/*"])
def test_json_is_not_sent_to_who_wants_something_else(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        require_json(request(accept=accept))


def test_a_cursor_gives_back_its_parts_and_only_characters_of_a_url() -> None:
    for parts in ((1, "a"), (10**15, "ü/+?"), ()):
        text = cursor(*parts)
        assert httpx.URL("http://x", params={"cursor": text}).query == f"cursor={text}".encode()
        assert read_cursor(text, tuple) == parts
    assert read_cursor(None, tuple) is None


def refuse(_: list[Any]) -> None:
    raise ValueError


@pytest.mark.parametrize(
    ("text", "check"),
    [("", list), ("%", list), ("e30", list), ("MQ", list), ("W10", refuse), ("WzFd" * 70, list)],
)
def test_a_forged_cursor_is_named(text: str, check: Callable[[list[Any]], object]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_cursor(text, check)
    assert list(refused.value.fields) == ["cursor"]
