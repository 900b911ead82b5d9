"""The REST edge: envelope, errors, policies, limits, CORS, internal routes."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated

import httpx
import psycopg
import pytest
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import OperationalError, ProgrammingError
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.errors import (
    ConcurrencyConflict,
    ContractViolation,
    DomainRejected,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Unavailable,
)
from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.policy import (
    CurrentPrincipal,
    Principal,
    authenticated,
    public,
    role,
    worker,
)
from kerma_common.http.route import KermaRoute
from kerma_common.security.principal import KEYCLOAK
from kerma_common.settings import HttpSettings

ORIGIN = "http://localhost:3000"
PRINCIPALS = {
    "user": Principal("u1", "s1"),
    "admin": Principal("u2", "s2", frozenset({"admin"})),
    "worker": Principal("w1", "s3", frozenset({"worker"})),
    "vouched for": Principal("u3", "s4", provider=KEYCLOAK),
}
ERRORS: dict[str, Exception] = {
    "rejected": DomainRejected("job_over", "The job's over"),
    "conflict": ConcurrencyConflict("overtaken"),
    "unknown": OutcomeUnknown("maybe"),
    "unavailable": Unavailable("later"),
    "missing": NotFound("Job with provided ID does not exist"),
    "violation": ContractViolation("secret detail"),
    "bug": ZeroDivisionError("secret detail"),
    "fields": InvalidRequest("Wrong parameters", {"message": ["x"], "status": ["y"], "n": ["z"]}),
    "database": OperationalError("SELECT secret", {}, Exception()),
    "dropped": ProgrammingError("SELECT secret", {}, psycopg.errors.UndefinedTable("secret")),
    "dropped schema": psycopg.errors.InvalidSchemaName("secret"),
    "wrong query": ProgrammingError("SELECT secret", {}, psycopg.errors.SyntaxError("secret")),
}


class Body(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid")
    name: str
    inner: dict[str, int] = {}


class Page(BaseModel):
    """Query parameters as a model."""

    model_config = ConfigDict(extra="forbid")
    size: int = 10


async def verify(token: str) -> Principal:
    """Accept a name as the token."""
    if token not in PRINCIPALS:
        raise Forbidden("Refresh the access token: expired")
    return PRINCIPALS[token]


def _router() -> APIRouter:
    router = APIRouter(route_class=KermaRoute)

    @router.get("/jobs")
    @public()
    async def jobs(job_id: str, size: int = 1) -> Response:
        return answer("It's <fine>", job_id=job_id, size=size, beta=1, alpha=2)

    @router.post("/jobs")
    @public()
    async def submit(body: Body) -> Response:
        return answer("ok", 202, name=body.name)

    @router.get("/paged")
    @public()
    async def paged(page: Annotated[Page, Query()]) -> Response:
        return answer("ok", size=page.size)

    @router.get("/mine")
    @authenticated()
    async def mine(principal: CurrentPrincipal, needed: int) -> Response:
        return answer("ok", user=principal.user_id, needed=needed)

    @router.get("/admin")
    @role("admin")
    async def admin() -> Response:
        return answer("ok")

    @router.get("/federated")
    @authenticated(KEYCLOAK)
    async def federated(needed: int) -> Response:
        return answer("ok", needed=needed)

    @router.get("/work")
    @worker()
    async def work() -> Response:
        return answer("ok")

    @router.get("/fail/{kind}")
    @public()
    async def fail(kind: str) -> Response:
        raise ERRORS[kind]

    @router.post("/raw")
    @public()
    async def raw(request: Request) -> Response:
        return answer("ok", size=len(await request.body()))

    return router


@pytest.fixture
async def faults() -> dict[str, str]:
    return {}


@pytest.fixture
async def client(faults: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async def health() -> Mapping[str, str]:
        return faults

    app = create_app(
        "test",
        verifier=verify,
        health=health,
        settings=HttpSettings(body_limit=1000, json_depth=5, origins=(ORIGIN,)),
        routers=[_router()],
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
        yield made


async def test_the_envelope_has_plain_text_and_sorted_keys(client: httpx.AsyncClient) -> None:
    reply = await client.get("/jobs?job_id=<b>")
    assert reply.text == ('{"alpha":2,"beta":1,"job_id":"<b>","message":"It\'s <fine>","size":1}')
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("job_id=x&q=1", {"q": ["Unknown field."]}),
        ("", {"job_id": ["Field required"]}),
        ("job_id=x&size=two", {"size": [
            "Input should be a valid integer, unable to parse string as an integer"
        ]}),
    ],
)  # fmt: skip
async def test_bad_queries_name_the_parameter(
    client: httpx.AsyncClient, query: str, expected: dict[str, list[str]]
) -> None:
    reply = await client.get(f"/jobs?{query}")
    assert reply.status_code == 400
    ((name, (reason,)),) = expected.items()
    assert reply.json() == {"message": f"Wrong parameters: {name}: {reason}", **expected}


async def test_query_models_are_strict_too(client: httpx.AsyncClient) -> None:
    assert (await client.get("/paged?size=3")).json()["size"] == 3
    assert (await client.get("/paged?sise=3")).json()["sise"] == ["Unknown field."]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_json_is_read_under_any_content_type(client: httpx.AsyncClient, kind: str) -> None:
    reply = await client.post("/jobs", content=b'{"name":"n"}', headers={"content-type": kind})
    assert (reply.status_code, reply.json()["name"]) == (202, "n")


@pytest.mark.parametrize(
    ("body", "key", "reason"),
    [
        (b"", "message", "The body is empty"),
        (b"{", "message", "not valid JSON"),
        (b"\xff\xfe", "message", "not valid JSON"),
        (b'{"name": NaN}', "message", "not valid JSON"),
        (b"[1]", "message", "not a JSON object"),
        (b'"text"', "message", "not a JSON object"),
        (b"null", "message", "not a JSON object"),
        (b"[" * 900, "message", "not valid JSON"),
        (b'{"a":[[[[[[1]]]]]]}', "message", "nested deeper than 5"),
        (b"{}", "name", "Field required"),
        (b'{"name": 3}', "name", "valid string"),
        (b'{"name": "n", "inner": {"k": "x"}}', "inner.k", "valid integer"),
        (b'{"name": "n", "other": 1}', "other", "Unknown field."),
    ],
)
async def test_bad_bodies_are_400_and_say_why(
    client: httpx.AsyncClient, body: bytes, key: str, reason: str
) -> None:
    reply = await client.post("/jobs", content=body)
    assert reply.status_code == 400
    assert reason in str(reply.json()[key])


@pytest.mark.parametrize(
    ("kind", "status", "message"),
    [
        ("rejected", 409, "The job's over"),
        ("conflict", 409, "overtaken"),
        ("unknown", 503, "maybe"),
        ("unavailable", 503, "later"),
        ("missing", 404, "Job with provided ID does not exist"),
        ("violation", 500, "Internal Server Error"),
        ("bug", 500, "Internal Server Error"),
        ("database", 503, "The database does not answer; try again"),
        ("dropped", 503, "A table is missing until an operator starts the service again"),
        ("dropped schema", 503, "A table is missing until an operator starts the service again"),
        ("wrong query", 500, "Internal Server Error"),
    ],
)
async def test_errors_by_family(
    client: httpx.AsyncClient, kind: str, status: int, message: str
) -> None:
    reply = await client.get(f"/fail/{kind}", headers={"Origin": ORIGIN})
    assert (reply.status_code, reply.json()["message"]) == (status, message)
    assert "secret" not in reply.text
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert reply.headers["x-request-id"]
    assert ("retry-after" in reply.headers) is (status == 503)


async def test_rejections_carry_their_code(client: httpx.AsyncClient) -> None:
    assert (await client.get("/fail/rejected")).json()["code"] == "job_over"


async def test_field_names_of_clients_cannot_replace_the_message(
    client: httpx.AsyncClient,
) -> None:
    reply = await client.get("/fail/fields")
    message = "Wrong parameters: message: x; status: y; n: z"
    assert reply.json() == {"message": message, "n": ["z"], "status_": ["y"]}


async def test_unknown_paths_and_methods_are_json(client: httpx.AsyncClient) -> None:
    reply = await client.get("/nothing/<here>")
    assert (reply.status_code, list(reply.json())) == (404, ["message"])
    assert (await client.get("/jobs/")).status_code == 404
    reply = await client.delete("/jobs")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert isinstance(reply.json()["message"], str)


async def test_options_tells_the_methods(client: httpx.AsyncClient) -> None:
    reply = await client.options("/jobs")
    assert (reply.status_code, reply.headers["allow"]) == (200, "GET, HEAD, OPTIONS, POST")
    assert (await client.options("/nothing")).status_code == 404


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    reply = await client.head("/jobs?job_id=x")
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/mine?needed=1", {}, 401),
        ("/mine?needed=1", {"Authorization": "user"}, 401),
        ("/mine?needed=1", {"Authorization": "Basic user"}, 401),
        ("/mine?needed=1", {"Authorization": "Bearer user"}, 200),
        ("/mine?needed=1", {"Cookie": "access_token=user"}, 200),
        ("/mine?needed=1", {"Cookie": "access_token=forged"}, 403),
        ("/admin", {"Cookie": "access_token=user"}, 403),
        ("/admin", {"Cookie": "access_token=admin"}, 200),
        ("/federated", {"Cookie": "access_token=user"}, 403),  # before its parameters
        ("/federated", {"Cookie": "access_token=vouched for"}, 400),
        ("/federated?needed=1", {"Cookie": "access_token=vouched for"}, 200),
        ("/work", {"Authorization": "Bearer worker"}, 200),
        ("/work", {"Authorization": "Bearer user"}, 403),
        ("/work", {"Cookie": "access_token=worker"}, 401),
    ],
)
async def test_policies(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    assert (await client.get(path, headers=headers)).status_code == status


async def test_the_token_is_asked_for_before_parameters(client: httpx.AsyncClient) -> None:
    reply = await client.get("/mine?nonsense=1")
    assert (reply.status_code, reply.text) == (401, '{"message":"No token provided"}')


async def test_request_ids_are_kept_when_harmless(client: httpx.AsyncClient) -> None:
    given = await client.get("/internal/healthz", headers={"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    for hostile in ("x" * 65, "a b", 'a"b'):
        made = await client.get("/internal/healthz", headers={"X-Request-Id": hostile})
        assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])


async def test_faults_are_logged_with_the_request_id(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await client.get("/fail/bug")
    assert "ZeroDivisionError" in caplog.text


async def test_bodies_above_the_limit_are_refused_announced_or_not(
    client: httpx.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100
            await asyncio.sleep(0)

    for content in (b"x" * 1001, chunks()):
        sent = {"Origin": ORIGIN, "Content-Type": "application/json"}
        reply = await client.post("/raw", content=content, headers=sent)
        assert reply.status_code == 413
        assert reply.json() == {"message": "The body is larger than 1000 bytes"}
        assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert (await client.post("/raw", content=b"x" * 1000)).json()["size"] == 1000


async def test_cors_reflects_allowed_origins_only(client: httpx.AsyncClient) -> None:
    preflight = await client.options(
        "/jobs", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert preflight.headers["access-control-allow-credentials"] == "true"
    # Only the routes' methods.
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    other = await client.get("/jobs?job_id=x", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_readiness_names_what_is_wrong(
    client: httpx.AsyncClient, faults: dict[str, str]
) -> None:
    assert (await client.get("/internal/readyz")).status_code == 200
    faults["nats"] = "not connected"
    reply = await client.get("/internal/readyz")
    assert reply.status_code == 503
    assert reply.json()["faults"] == {"nats": "not connected"}


async def test_metrics_count_requests_by_route(client: httpx.AsyncClient) -> None:
    await client.get("/jobs?job_id=x")
    text = (await client.get("/internal/metrics")).text
    assert re.search(r'http_request_seconds_count\{.*route="/jobs".*status="200"\} ', text)
