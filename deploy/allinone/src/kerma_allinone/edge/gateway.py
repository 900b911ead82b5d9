"""A gateway as a process: passes each request to the service that answers its path.

For machines without nginx, and for tests of the services as separate processes; a cluster has its
own gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic import field_validator
from pydantic_settings import SettingsConfigDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kerma_allinone.edge.routing import INTERNAL, TABLE
from kerma_common.errors import InvalidRequest, Unavailable
from kerma_common.http.edge import Cors, RequestScope
from kerma_common.http.forwarding import Proxies
from kerma_common.http.refusals.forms import refusal, refused_as
from kerma_common.http.refusals.handlers import PHRASES, problem
from kerma_common.http.text import check_request
from kerma_common.service import Service
from kerma_common.settings import Settings

# RFC 9110 section 7.6.1: headers that belong to one connection are not passed on
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
FORWARDED = frozenset({"x-forwarded-for", "x-forwarded-proto"})
FRAMING = frozenset({"content-length", "transfer-encoding"})
READ_SECONDS = 60.0
AWAY = "The service does not answer; please try again"


class GatewaySettings(Settings):
    """Base URLs of the services; several replicas of one are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="KERMA_GATEWAY_")

    auth: str
    jobs: str
    runner: str
    results: str
    batch: str

    @field_validator("*")
    @classmethod
    def _urls(cls, value: str) -> str:
        for url in value.split(","):
            parts = urlsplit(url.strip())
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("must be URLs such as http://host:8080")
        return value

    def replicas(self, service: str) -> tuple[str, ...]:
        """Return the base URLs of a service."""
        urls: str = getattr(self, service)
        return tuple(url.strip() for url in urls.split(","))


class Gateway:
    """An ASGI application; an asynchronous context manager, since it holds connections.

    What it refuses itself looks like a refusal of a service.
    """

    def __init__(
        self, settings: GatewaySettings, trusted: Sequence[str] = (), origins: Sequence[str] = ()
    ) -> None:
        """``trusted`` are proxies in front of this one that may name the client."""
        layer: Any = ProxyHeadersMiddleware  # its types are stricter than Starlette's
        self._believing: ASGIApp = layer(self._handle, list(trusted))
        self._proxies = Proxies(trusted)
        self._origins = tuple(origins)
        self._replicas = {name: settings.replicas(name) for name in GatewaySettings.model_fields}
        self._turns: Mapping[str, Iterator[int]] = {
            name: cycle(range(len(urls))) for name, urls in self._replicas.items()
        }
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        # Not a client: that would keep the cookies of one user and send them for another, and add
        # headers of its own.
        self._http = httpx.AsyncHTTPTransport(limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http":
            self._proxies.look(scope)
            await self._believing(dict(scope), receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        with refused_as(scope["path"]):
            refused = _refusal(scope)
            app: ASGIApp = self._pass_on if refused is None else self._dressed(refused)
            await app(scope, receive, send)

    def _dressed(self, refused: Response) -> ASGIApp:
        return Cors(RequestScope(refused, "gateway"), self._origins, TABLE.methods)

    def service(self) -> Service:
        """Return the gateway as a service that a server can run."""

        async def health() -> Mapping[str, str]:
            return {}

        async def stay() -> None:
            await asyncio.get_running_loop().create_future()

        return Service("gateway", self, (("stay", stay),), health)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            upstream = await self._ask(request)
        except httpx.LocalProtocolError:
            text = "The request cannot be passed on as it is written"
            await self._dressed(problem(InvalidRequest(text)))(scope, receive, send)
            return
        except httpx.TransportError:
            await self._dressed(problem(Unavailable(AWAY)))(scope, receive, send)
            return
        response = StreamingResponse(_raw(upstream), upstream.status_code)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in upstream.headers.raw
            if name.decode("latin-1").lower() not in HOP_BY_HOP
        ]
        await response(scope, receive, send)

    async def _ask(self, request: Request) -> httpx.Response:
        """Send a request to the next replica that accepts a connection."""
        service = TABLE.service_of(request.scope["path"])
        urls = self._replicas[service]
        first = next(self._turns[service])
        headers = _headers(request.scope)
        for tried in range(len(urls)):
            passed = httpx.Request(
                request.method,
                _target(urls[(first + tried) % len(urls)], request.scope),
                headers=headers,
                content=_body(request) if FRAMING & set(request.headers) else None,
                extensions={"timeout": httpx.Timeout(READ_SECONDS).as_dict()},
            )
            try:
                return await self._http.handle_async_request(passed)
            except httpx.ConnectError:  # nothing of the request was sent
                if tried == len(urls) - 1:
                    raise
        raise AssertionError


def _refusal(scope: Scope) -> Response | None:
    """Return the answer to a request that no service gets."""
    try:
        check_request(scope)
    except InvalidRequest as refused:
        return problem(refused)
    if scope["path"].startswith(INTERNAL):
        return refusal("not-found", 404, PHRASES[404])
    return None


def _target(base: str, scope: Scope) -> httpx.URL:
    """Return the URL at the service, with path and query as the client wrote them."""
    query: bytes = scope["query_string"]
    written = scope["raw_path"] + (b"?" + query if query else b"")
    url = httpx.URL(base)
    return url.copy_with(raw_path=url.raw_path.rstrip(b"/") + written)


def _headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers to pass on, as bytes, since values need not be ASCII; strip outer space.

    Who the client is and how it came here is said anew: the client may have made it up.
    """
    client, scheme = scope.get("client"), scope.get("scheme", "http")
    own = [(b"x-forwarded-proto", scheme.encode())]
    own += [(b"x-forwarded-for", client[0].encode())] if client else []
    passed = [
        (name, value.strip(b" \t"))
        for name, value in scope["headers"]
        if name.decode("latin-1").lower() not in HOP_BY_HOP | FORWARDED
    ]
    return passed + own


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        return


async def _raw(upstream: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the bytes as they came, compressed or not."""
    try:
        async for piece in upstream.aiter_raw():
            yield piece
    finally:
        await upstream.aclose()
