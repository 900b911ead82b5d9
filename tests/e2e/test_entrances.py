"""Whatever is in front answers alike: the router of `up`, the standalone gateway, nginx."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from kerma_allinone.edge.routing import TABLE, Route
from kerma_common.http.body.json_body import LARGE
from kerma_common.http.refusals.forms import is_native
from kit.inputs.projects import submission
from kit.running.clients.visitor import NAME
from kit.running.entrances import ORIGIN, Entrances, entrances
from kit.running.worlds.services import prepare

pytestmark = pytest.mark.slow

ENDLESS = {"/auth/refresh", "/v1/jobs/events", "/v1/sessions"}
"""What is different each time or for each session, and what does not end."""
OF_CONNECTIONS = {"connection", "date", "keep-alive", "server", "transfer-encoding"}
EACH_ITS_OWN = {"set-cookie", "content-length"}
MOMENTS = re.compile(rb'"(access_exp|refresh_exp)":[0-9]+')

Shown = tuple[int, dict[str, str], Any]


@pytest.fixture(scope="module")
def system(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Entrances]:
    asyncio.run(prepare(nats_url))
    with entrances(tmp_path_factory.mktemp("entrances"), nats_url, postgres_url) as made:
        with httpx.Client(base_url=made.urls["up"], timeout=60) as client:
            assert client.put("/auth/register", json=NAME).status_code == 201
        yield made


@pytest.fixture(scope="module")
def clients(system: Entrances) -> Iterator[dict[str, httpx.Client]]:
    """A logged-in client per entrance."""
    made = {name: httpx.Client(base_url=url, timeout=60) for name, url in system.urls.items()}
    for client in made.values():
        assert client.post("/auth/login", json=NAME).status_code == 202
    yield made
    for client in made.values():
        client.close()


def shown(answer: httpx.Response) -> Shown:
    """Return what must be alike: status, headers and body, without moments."""
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in OF_CONNECTIONS | EACH_ITS_OWN
    }
    for cookie in answer.headers.get_list("set-cookie"):
        name, _, rest = cookie.partition("=")
        headers[f"cookie {name}"] = re.sub(r"expires=[^;]*", "expires", rest.partition(";")[2])
    # nginx compresses what is long, if asked to, and says so whether it was asked or not
    headers["vary"] = ",".join(sorted(_varying(answer) - {"accept-encoding"}))
    body = MOMENTS.sub(rb'"\1":0', answer.content)
    if body and "json" not in headers["content-type"]:
        return answer.status_code, headers, body
    return answer.status_code, headers, orjson.loads(body) if body else None


def _varying(answer: httpx.Response) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get("vary", "").split(",")}


def alike(clients: dict[str, httpx.Client], method: str, path: str, **asked: Any) -> Shown:
    """Ask at every entrance; return the answer that all give."""
    headers = {"X-Request-Id": "asked-everywhere", "Accept-Encoding": "identity"}
    headers |= asked.pop("headers", {})
    found = {
        name: shown(client.request(method, path, headers=headers, **asked))
        for name, client in clients.items()
    }
    assert found["gateway"] == found["up"], (method, path)
    assert found["nginx"] == found["up"], (method, path)
    return found["up"]


VALUES = {"estimator": "0", "number": "0"}
"""Of parameters that are numbers."""


def path_of(route: Route) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: VALUES.get(name[1], "0123456789abcdef"), route.path)


@pytest.mark.parametrize("route", TABLE.routes, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_answers_alike(clients: dict[str, httpx.Client], route: Route) -> None:
    path = path_of(route)
    body: dict[str, Any] = {"json": {}} if route.method in {"POST", "PUT"} else {}
    bare = {name: httpx.Client(base_url=c.base_url, timeout=60) for name, c in clients.items()}
    try:
        status, headers, _ = alike(bare, route.method, path, **body)
        assert status < 500
        assert headers["x-request-id"] == "asked-everywhere"
        alike(bare, route.method, path, headers={"Authorization": "Bearer x"}, **body)
        alike(bare, route.method, path, headers={"Origin": ORIGIN}, **body)
        alike(bare, route.method, path, params={"unheard": "of"}, **body)
        alike(bare, route.method, path, content=b"{")
        foreign = alike(bare, route.method, path, headers={"Origin": "http://evil.example"}, **body)
        assert "access-control-allow-origin" not in foreign[1]
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": route.method}
        status, headers, _ = alike(bare, "OPTIONS", path, headers=preflight)
        assert status == 200
        assert route.method in headers["access-control-allow-methods"].split(", ")
        assert headers["access-control-allow-origin"] == ORIGIN
        assert headers["access-control-allow-credentials"] == "true"
        assert alike(bare, "PATCH", path)[0] == 405
        if not route.large:
            status, _, refused = alike(bare, route.method, path, content=b" " * (LARGE + 1))
            told = refused["detail" if is_native(path) else "message"]
            assert (status, told) == (413, f"The body is larger than {LARGE} bytes")
    finally:
        for client in bare.values():
            client.close()


BY_JOB = {
    "/jobs",
    "/jobs/batch",
    "/jobs/direct",
    "/inputs",
    "/results",
    "/results/partial",
    "/estimators",
    "/logfiles",
}
"""Paths that name a job in the query."""


@pytest.mark.parametrize(
    "route",
    [r for r in TABLE.routes if r.method == "GET" and r.path not in ENDLESS],
    ids=lambda route: route.path,
)
def test_what_a_user_reads_is_alike(clients: dict[str, httpx.Client], route: Route) -> None:
    asked: dict[str, Any] = {}
    if route.path in BY_JOB:
        asked = {"params": {"job_id": "20200101-000000-nobodys-jobDIRECT"}}
    status, _, _ = alike(clients, "GET", path_of(route), **asked)
    assert status in {200, 403, 404}
    status, _, body = alike(clients, "HEAD", path_of(route), **asked)
    assert body is None


def test_events_arrive_at_every_entrance_and_streams_end_with_their_client(
    clients: dict[str, httpx.Client],
) -> None:
    for name, client in clients.items():
        other = clients["up" if name == "nginx" else "nginx"]
        for _ in range(21):  # a user may have 20 at a time
            with client.stream("GET", "/v1/jobs/events", timeout=60) as stream:
                assert stream.status_code == 200, name
                pieces = stream.iter_text()
                assert next(pieces).startswith("retry:")
        body = {**submission(1000, 1), "wait_for_engine": True}
        with client.stream("GET", "/v1/jobs/events", timeout=60) as stream:
            pieces = stream.iter_text()
            next(pieces)
            job = other.post("/jobs/direct", json=body).json()["job_id"]
            heard = ""
            while job not in heard:  # ends by the client's timeout
                heard += next(pieces)


def test_a_login_sets_the_same_cookies_everywhere(clients: dict[str, httpx.Client]) -> None:
    status, headers, _ = alike(clients, "POST", "/auth/login", json=NAME)
    assert status == 202
    attributes = {headers["cookie access_token"], headers["cookie refresh_token"]}
    assert attributes == {" expires; HttpOnly; Path=/; SameSite=lax"}


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/jobs/",
        "/v1/tokens/x/y",
        "/jobs//direct",
        "/jobs/direct;x",
        "/a%2fb",
        "/a%5cb",
        "/x/%2e%2e/jobs",
        "/caf%e9",
        "/a?x=%ff",
        "/a%0ab",
        "/" + "a" * 3000,
    ],
)
def test_other_paths_answer_alike(clients: dict[str, httpx.Client], path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert alike(clients, method, path)[0] in {400, 404}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:3000"}, 202),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 202),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:3000", "Content-Type": "text/plain"}, 415),
        ({"Content-Type": "text/plain"}, 202),
    ],
)
def test_own_pages_are_known_at_every_entrance(
    clients: dict[str, httpx.Client], headers: dict[str, str], status: int
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    content = orjson.dumps(NAME)
    assert alike(clients, "POST", "/auth/login", headers=sent, content=content)[0] == status


def test_operators_paths_are_at_no_gateway(system: Entrances) -> None:
    for name in ("gateway", "nginx"):
        for path in ("/internal/metrics", "/internal/readyz", "/internal", "/%69nternal/healthz"):
            answer = httpx.get(system.urls[name] + path)
            assert answer.status_code == 404
            assert answer.json() == {"message": "There is nothing at this path"}
