"""nginx with the written configuration, in front of servers that record what reaches them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from kerma_allinone.edge.routing import TABLE
from kerma_common.http.body.json_body import LARGE
from kerma_common.settings import HttpSettings
from kit.running.network.nginx import SERVICES, nginx

ORIGIN = "http://ui.example:3000"
CREDENTIALED = {
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-credentials": "true",
}


class Recorder:
    """A service that keeps the heads of requests and answers each alike, or not at all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heads: list[bytes] = []
        self.silent = False
        self.head = b"content-type: application/json\r\n"
        self.body = b'{"message":"recorded"}'
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if not self.silent:
                length = str(len(self.body)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nconnection: close\r\nx-served-by: "
                    + self.name.encode()
                    + b"\r\n"
                    + self.head
                    + b"content-length: "
                    + length
                    + b"\r\n\r\n"
                    + self.body
                )
                await writer.drain()
        finally:
            writer.close()

    @property
    def last(self) -> list[bytes]:
        """Lines of the last head, in lower case but for the first."""
        first, *others = self.heads[-1].split(b"\r\n")
        return [first, *(line.lower() for line in others)]


@asynccontextmanager
async def recording(name: str) -> AsyncIterator[Recorder]:
    made = Recorder(name)
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


@pytest.fixture
async def services() -> AsyncIterator[dict[str, Recorder]]:
    async with (
        recording("auth") as auth,
        recording("jobs") as jobs,
        recording("runner") as runner,
        recording("results") as results,
        recording("batch") as batch,
    ):
        yield {made.name: made for made in (auth, jobs, runner, results, batch)}


@pytest.fixture
async def client(services: dict[str, Recorder], tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    urls = {name: [service.url] for name, service in services.items()}
    with nginx(tmp_path / "nginx", urls, origins=(ORIGIN,)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30) as made:
            yield made


async def raw(url: str, request: bytes) -> bytes:
    """Return the whole answer to bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_every_route_reaches_its_service(client: httpx.AsyncClient) -> None:
    for route in TABLE.routes:
        path = route.path.replace("{", "").replace("}", "")
        answer = await client.request(route.method, path)
        assert answer.headers["x-served-by"] == route.service, route


async def test_paths_queries_and_cookies_arrive_as_written(
    client: httpx.AsyncClient, services: dict[str, Recorder]
) -> None:
    for path in (
        b"/jobs?q=%2F&x=%C3%A9",
        b"/nowhere/a%20b:c%25",
        b"/x//y",
        b"/a/./b",
        b"/a%2fb;x",
        b"/a/..%2e/b",
    ):
        cookie = b"access_token=a.b-c; refresh_token=\xe9"
        head = b" HTTP/1.1\r\nHost: kerma:81\r\nCookie: " + cookie + b"\r\nConnection: close"
        answer = await raw(str(client.base_url), b"GET " + path + head + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        served = services["jobs" if path.startswith(b"/jobs") else "auth"]
        assert served.heads[-1].startswith(b"GET " + path + b" HTTP/1.1\r\n")
        assert b"\r\nCookie: " + cookie + b"\r\n" in served.heads[-1]
        assert b"host: kerma:81" in served.last


@pytest.mark.parametrize(
    "path",
    [
        b"/internal/metrics",
        b"/internal",
        b"/%69nternal/metrics",
        b"/x/../internal/metrics",
        b"/./internal/metrics",
        b"//internal/metrics",
        b"/x/%2E%2e/internal/metrics",
        b"/x%2f..%2finternal/metrics",
        b"/internal%2fmetrics",
        b"/internal/metrics%00",
        b"/../internal",
        b"http://kerma/internal/metrics",
    ],
)
async def test_no_spelling_leads_to_operators_paths(
    client: httpx.AsyncClient, services: dict[str, Recorder], path: bytes
) -> None:
    await raw(
        str(client.base_url),
        b"GET " + path + b" HTTP/1.1\r\nHost: kerma\r\nConnection: close\r\n\r\n",
    )
    asked = [head.split(b" ")[1] for service in services.values() for head in service.heads]
    assert [line for line in asked if line.startswith(b"/internal")] == []


async def test_who_the_client_is_and_the_request_id_are_not_for_clients_to_say(
    client: httpx.AsyncClient, services: dict[str, Recorder]
) -> None:
    claims = {
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
        "X-Real-IP": "10.0.0.1",
        "Forwarded": "for=10.0.0.1",
    }
    await client.get("/jobs", headers={**claims, "X-Request-Id": "mine-1"})
    named = [line for line in services["jobs"].last if b"forwarded" in line or b"real" in line]
    assert sorted(named) == [b"x-forwarded-for: 127.0.0.1", b"x-forwarded-proto: http"]
    assert b"x-request-id: mine-1" in services["jobs"].last
    await client.get("/jobs", headers={"X-Request-Id": "a b"})
    made = next(li for li in services["jobs"].last if li.startswith(b"x-request-id: "))
    assert len(made) == len("x-request-id: ") + 32


async def announced(url: httpx.URL, method: str, path: str, length: int) -> httpx.Response:
    """Return the answer to the head of a request whose body is never sent.

    nginx answers by the length, and closes: who still sends then may not see the answer.
    """
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nOrigin: {ORIGIN}\r\n"
    writer.write(f"{head}Content-Length: {length}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(30):
        answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = answer.decode().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


async def test_bodies_are_bounded_per_route(
    client: httpx.AsyncClient, services: dict[str, Recorder]
) -> None:
    largest = HttpSettings().body_limit
    for method, path, limit in (
        ("POST", "/auth/login", LARGE),
        ("POST", "/jobs/direct", largest),
    ):
        refused = await announced(client.base_url, method, path, limit + 1)
        assert refused.status_code == 413
        assert refused.json() == {"message": f"The body is larger than {limit} bytes"}
        assert CREDENTIALED.items() <= dict(refused.headers).items()
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert refused.headers["content-type"] == "application/json"
    assert services["auth"].heads == services["jobs"].heads == []
    passed = await client.post("/jobs/direct", content=b" " * (LARGE + 1))
    assert passed.status_code == 200, passed.text


async def test_a_service_that_is_away_is_told_in_our_words(
    client: httpx.AsyncClient, services: dict[str, Recorder]
) -> None:
    services["jobs"].silent = True
    sent = {"Origin": ORIGIN, "X-Request-Id": "mine"}
    away = await client.post("/jobs/direct", headers=sent)
    assert away.status_code == 503
    assert away.json() == {"message": "The service does not answer; please try again"}
    assert CREDENTIALED.items() <= dict(away.headers).items()
    assert (away.headers["retry-after"], away.headers["x-request-id"]) == ("1", "mine")
    port, address = client.base_url.port, client.base_url.host
    for host, origin, reads in (
        (f"{address}:{port}", f"http://{address}:3000", True),
        ("[::1]:8080", "https://[::1]:3000", True),
        ("Kerma.example:8080", "http://kerma.example", True),
        ("kerma.example", "http://evil.kerma.example", False),
        ("kerma.example", "http://kermaxexample:3000", False),
        ("kerma.example", "http://kerma.example:3000/", False),
        ("kerma.example", "http://evil.example", False),
    ):
        answer = await client.get("/jobs", headers={"Host": host, "Origin": origin})
        assert (answer.status_code, "Origin" in answer.headers["vary"]) == (503, True)
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if reads else None), (host, origin)


async def test_heads_beyond_the_limit_are_told_in_our_words(client: httpx.AsyncClient) -> None:
    long = "a" * (HttpSettings().header_limit + 1)
    for answer in (
        await client.get("/jobs", headers={"X-Long": long}),
        await client.get("/jobs", params={"x": long}),
    ):
        assert answer.status_code == 431
        assert answer.json()["message"].startswith("The head of the request is larger")


async def test_what_is_no_request_is_told_in_json(client: httpx.AsyncClient) -> None:
    answer = await raw(str(client.base_url), b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b'{"message":"This is not an HTTP request"}')


async def test_json_is_compressed_and_events_are_not_held_back(
    client: httpx.AsyncClient, services: dict[str, Recorder]
) -> None:
    services["jobs"].body = b'{"message":"' + b"x" * 5000 + b'"}'
    async with client.stream("GET", "/jobs", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == services["jobs"].body
    plain = await client.get("/jobs", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_events_pass_one_by_one(services: dict[str, Recorder], tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"x-accel-buffering: no\r\nconnection: close\r\n\r\ndata: 1\n\n")
        await go_on.wait()
        writer.write(b"data: 2\n\n")
        writer.close()

    server = await asyncio.start_server(events, "127.0.0.1", 0)
    urls = {name: [service.url] for name, service in services.items()}
    urls["jobs"] = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    async with server, asyncio.timeout(30):
        with nginx(tmp_path / "nginx", urls) as url:
            async with (
                httpx.AsyncClient(base_url=url) as client,
                client.stream("GET", "/jobs", headers={"Accept-Encoding": "gzip"}) as answer,
            ):
                pieces = answer.aiter_raw()
                assert await anext(pieces) == b"data: 1\n\n"
                go_on.set()  # the first event has arrived although the second was not sent
                assert await anext(pieces) == b"data: 2\n\n"


@pytest.mark.parametrize(("method", "sent"), [("GET", 200), ("POST", 503)])
async def test_another_replica_answers_what_may_be_sent_twice(
    services: dict[str, Recorder], tmp_path: Path, method: str, sent: int
) -> None:
    async with recording("dying") as dying:
        dying.silent = True
        urls = {name: [service.url] for name, service in services.items()}
        urls["jobs"] = [dying.url, services["jobs"].url]
        with nginx(tmp_path / "nginx", urls) as url:
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                answers = [await client.request(method, "/jobs/direct") for _ in range(4)]
    assert {answer.status_code for answer in answers} == {200, sent}
    if method == "POST":
        got = len(dying.heads) + len(services["jobs"].heads)
        assert got == len(answers)  # none was sent twice


async def test_a_replica_that_does_not_listen_is_passed_over(
    services: dict[str, Recorder], tmp_path: Path
) -> None:
    async with recording("gone") as gone:
        nowhere = gone.url
    urls = {name: [services[name].url] for name in SERVICES}
    urls["jobs"] = [nowhere, services["jobs"].url]
    with nginx(tmp_path / "nginx", urls) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            answers = [await client.post("/jobs/direct") for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
