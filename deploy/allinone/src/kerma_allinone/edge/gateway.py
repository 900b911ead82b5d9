"""A gateway as a process: passes each request to the service that answers its path.

For machines without nginx, and for tests of the services as separate processes; a cluster has its
own gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import httpx
from pydantic_settings import SettingsConfigDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kerma_allinone.edge.routing import INTERNAL, service_of
from kerma_common.errors import InvalidRequest
from kerma_common.http.answers import answer
from kerma_common.http.problem import PHRASES, problem
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


class GatewaySettings(Settings):
    """Base URLs of the services."""

    model_config = SettingsConfigDict(env_prefix="KERMA_GATEWAY_")

    auth: str
    jobs: str
    runner: str
    results: str
    batch: str


class Gateway:
    """An ASGI application; an asynchronous context manager, since it holds connections."""

    def __init__(self, settings: GatewaySettings, trusted: Sequence[str] = ()) -> None:
        """``trusted`` are proxies in front of this one that may name the client."""
        layer: Any = ProxyHeadersMiddleware  # its types are stricter than Starlette's
        self._believing: ASGIApp = layer(self._pass_on, list(trusted))
        self._upstream: Mapping[str, str] = settings.model_dump()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(
            limits=limits, timeout=httpx.Timeout(READ_SECONDS), follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http":
            await self._believing(dict(scope), receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    def service(self) -> Service:
        """Return the gateway as a service that a server can run."""

        async def health() -> Mapping[str, str]:
            return {}

        async def stay() -> None:
            await asyncio.get_running_loop().create_future()

        return Service("gateway", self, (("stay", stay),), health)

    async def _answer(self, request: Request) -> Response:
        try:
            check_request(request.scope)
        except InvalidRequest as refused:
            return problem(refused)
        path = request.scope["path"]
        if path.startswith(INTERNAL):
            return answer(PHRASES[404], 404)
        target = _target(self._upstream[service_of(path)], request.scope)
        passed = self._http.build_request(
            request.method,
            target,
            headers=_headers(request.scope),
            content=_body(request) if FRAMING & set(request.headers) else None,
        )
        try:
            upstream = await self._http.send(passed, stream=True)
        except httpx.LocalProtocolError:
            return problem(InvalidRequest("The request cannot be passed on as it is written"))
        except httpx.TransportError:
            text = "The service does not answer; please try again"
            return answer(text, 503, headers={"Retry-After": "1"})
        response = StreamingResponse(_raw(upstream), upstream.status_code)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in upstream.headers.raw
            if name.decode("latin-1").lower() not in HOP_BY_HOP
        ]
        return response


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
