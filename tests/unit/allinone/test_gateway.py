"""Gateways pass on well-formed requests, and never the paths for operators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import unquote

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from kerma_allinone.edge.gateway import Gateway, GatewaySettings
from kerma_allinone.edge.internal import Guarded
from kerma_allinone.edge.routing import LocalGateway
from kerma_common.http.answers import answer

LEADS_TO_INTERNAL = [
    b"/internal/metrics",
    b"/internal",
    b"/x/../internal/metrics",
    b"/./internal/metrics",
    b"//internal/metrics",
    b"/x//../internal/metrics",
    b"/%69nternal/metrics",
    b"/%2e%2e/internal/metrics",
    b"/x/%2E%2e/internal/metrics",
    b"/x/.%2e/internal/metrics",
    b"/x%2f..%2finternal/metrics",
    b"/internal%2fmetrics",
    b"/x/..;/internal/metrics",
    b"/internal;x=1/metrics",
    b"/x\\..\\internal\\metrics",
    b"/x%5c..%5cinternal",
    b"/internal/metrics%00",
    b"/\xc0\xae\xc0\xae/internal",
]


Header = tuple[bytes, bytes]


class Upstream:
    """A service that records the first line of each request."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.heads: list[bytes] = []
        self.more = b""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.append(await reader.readline())
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n")
        writer.write(self.more + b"\r\n{}")
        await writer.drain()
        writer.close()


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Gateway, Upstream]]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = GatewaySettings(auth=url, jobs=url, runner=url, results=url, batch=url)
    async with server, Gateway(settings) as made:
        yield made, upstream


async def _status(app: Gateway, raw: bytes, query: bytes = b"", *headers: Header) -> int:
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(raw.decode("latin-1")),
        "raw_path": raw,
        "query_string": query,
        "headers": [(b"host", b"kerma"), *headers],
        "client": ("127.0.0.1", 1),
    }
    sent: list[Message] = []

    async def receive() -> Message:  # the body is empty, and the client stays connected
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize("path", LEADS_TO_INTERNAL)
async def test_no_spelling_leads_to_operators_paths(
    gateway: tuple[Gateway, Upstream], path: bytes
) -> None:
    assert await _status(gateway[0], path) in (400, 404)
    assert gateway[1].lines == []


async def test_paths_and_queries_are_passed_on_as_they_are(
    gateway: tuple[Gateway, Upstream],
) -> None:
    assert await _status(gateway[0], b"/v1/jobs/a%20b:c%25", b"q=%2F&x=%C3%A9") == 200
    assert gateway[1].lines == [b"GET /v1/jobs/a%20b:c%25?q=%2F&x=%C3%A9 HTTP/1.1\r\n"]


@pytest.mark.parametrize("value", [b"Bearer ", b"Bearer \xff x\t", b"caf\xc3\xa9", b"", b"a\tb"])
async def test_any_value_of_a_header_is_passed_on(
    gateway: tuple[Gateway, Upstream], value: bytes
) -> None:
    assert await _status(gateway[0], b"/jobs", b"", (b"authorization", value)) == 200
    assert b"authorization: " + value.strip() + b"\r\n" in gateway[1].heads[0]


async def test_nothing_of_one_client_is_sent_for_another(
    gateway: tuple[Gateway, Upstream],
) -> None:
    gateway[1].more = b"set-cookie: access_token=of-the-first; path=/\r\n"
    assert await _status(gateway[0], b"/auth/login") == 200
    assert await _status(gateway[0], b"/auth/status") == 200
    names = [line.split(b":")[0].lower() for line in gateway[1].heads[1].split(b"\r\n")]
    assert sorted(filter(None, names)) == [b"host", b"x-forwarded-for", b"x-forwarded-proto"]


async def test_a_replica_that_does_not_listen_is_passed_over(
    gateway: tuple[Gateway, Upstream],
) -> None:
    known = {name: urls[0] for name, urls in gateway[0]._replicas.items()}
    known["jobs"] = f"http://127.0.0.1:1, {known['jobs']}"
    async with Gateway(GatewaySettings.model_validate(known)) as two:
        assert [await _status(two, b"/jobs") for _ in range(4)] == [200] * 4


async def test_refusals_of_the_gateway_look_like_those_of_services(
    gateway: tuple[Gateway, Upstream],
) -> None:
    known = {name: urls[0] for name, urls in gateway[0]._replicas.items()}
    known["jobs"] = "http://127.0.0.1:1"
    origin = "http://ui.example"
    async with Gateway(GatewaySettings.model_validate(known), origins=(origin,)) as made:
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as asked:
            headers = {"Origin": origin, "X-Request-Id": "mine"}
            for path, status in (("/jobs", 503), ("/a//b", 400), ("/internal", 404)):
                refused = await asked.get(path, headers=headers)
                assert refused.status_code == status
                assert refused.json()["message"]
                assert refused.headers["x-request-id"] == "mine"
                assert refused.headers["access-control-allow-origin"] == origin


async def test_a_header_that_cannot_be_passed_on_is_no_fault_of_the_service(
    gateway: tuple[Gateway, Upstream],
) -> None:
    assert await _status(gateway[0], b"/jobs", b"", (b"x y", b"1")) == 400


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [((), (b"127.0.0.1", b"http")), (("127.0.0.0/8",), (b"192.0.2.7", b"https"))],
)
async def test_only_a_trusted_proxy_says_who_the_client_is(
    gateway: tuple[Gateway, Upstream], trusted: tuple[str, ...], expected: tuple[bytes, bytes]
) -> None:
    made, upstream = gateway
    settings = GatewaySettings.model_validate(
        {name: urls[0] for name, urls in made._replicas.items()}
    )
    claims = ((b"x-forwarded-for", b"10.0.0.1, 192.0.2.7"), (b"x-forwarded-proto", b"https"))
    async with Gateway(settings, trusted) as believing:
        assert await _status(believing, b"/jobs", b"", *claims) == 200
    lines = upstream.heads[0].lower().split(b"\r\n")
    named = [line for line in lines if line.startswith(b"x-forwarded-")]
    address, scheme = expected
    assert sorted(named) == [b"x-forwarded-for: " + address, b"x-forwarded-proto: " + scheme]


@pytest.mark.parametrize(("trusted", "told"), [((), 1), (("127.0.0.0/8",), 0)])
async def test_a_proxy_in_front_that_is_not_trusted_is_told(
    gateway: tuple[Gateway, Upstream],
    caplog: pytest.LogCaptureFixture,
    trusted: tuple[str, ...],
    told: int,
) -> None:
    made, _ = gateway
    settings = GatewaySettings.model_validate(
        {name: urls[0] for name, urls in made._replicas.items()}
    )
    claim = (b"x-forwarded-for", b"192.0.2.7")
    async with Gateway(settings, trusted) as other:
        with caplog.at_level("WARNING", "kerma_common.http.forwarding"):
            for _ in range(2):
                assert await _status(other, b"/jobs", b"", claim) == 200
    assert len(caplog.records) == told
    assert all("from 127.0.0.1 " in record.getMessage() for record in caplog.records)


TOKEN = "t" * 40


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {"Host": "127.0.0.1:8080"}, 200),
        ("127.0.0.1", {"Host": "localhost"}, 200),
        ("::1", {"Host": "[::1]:8080"}, 200),
        ("192.0.2.1", {"Host": "127.0.0.1"}, 401),
        ("127.0.0.1", {"Host": "kerma.example"}, 401),
        ("127.0.0.1", {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"}, 401),
        ("127.0.0.1", {"Host": "localhost", "Forwarded": "for=127.0.0.1"}, 401),
        ("127.0.0.1", {"Host": "localhost", "Via": "1.1 proxy"}, 401),
        ("192.0.2.1", {"Host": "kerma.example", "Authorization": f"Bearer {TOKEN}"}, 200),
        ("192.0.2.1", {"Host": "kerma.example", "Authorization": "Bearer other"}, 401),
        ("192.0.2.1", {"Host": "kerma.example", "Authorization": TOKEN}, 401),
    ],
)
async def test_operators_paths_are_for_this_machine_or_a_credential(
    client: str, headers: dict[str, str], status: int
) -> None:
    async def internal(scope: Scope, receive: Receive, send: Send) -> None:
        await answer("fine")(scope, receive, send)

    app = LocalGateway({}, Guarded(internal, TOKEN))
    transport = httpx.ASGITransport(app, client=(client, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as asked:
        assert (await asked.get("/internal/metrics", headers=headers)).status_code == status
