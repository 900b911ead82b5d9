"""Pure ASGI layers around the application: CORS, request scope, body limit."""

import logging
import math
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kerma_common.addresses import site
from kerma_common.errors import TooLarge, Unavailable, UnsupportedMediaType
from kerma_common.http.answers import answer
from kerma_common.http.body.coding import Inflated, decoded_scope, is_gzip
from kerma_common.http.body.uploads import SMALL, UPLOADS, Uploads
from kerma_common.http.event_stream import BODILESS
from kerma_common.http.origin import is_sibling
from kerma_common.http.refusals.forms import refused_as
from kerma_common.http.refusals.handlers import internal_error, problem
from kerma_common.precedence import precedence
from kerma_common.telemetry import metrics, traces
from kerma_common.telemetry.logs import bound, bound_fields

logger = logging.getLogger(__name__)

SERVER = SpanKind.SERVER
HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CORS_HEADERS = (
    "Accept, Authorization, Cache-Control, Content-Encoding, Content-Type, DNT, Idempotency-Key,"
    " If-Modified-Since, If-Match, If-None-Match, Last-Event-ID, Range, User-Agent, X-Request-Id,"
    " X-Requested-With"
)
CORS_EXPOSED = (
    "Content-Length, Content-Range, ETag, Kerma-Position, Location, Retry-After, WWW-Authenticate,"
    " X-Request-Id"
)


def request_id() -> str:
    """Return the id of the current request."""
    return bound_fields()["request"]


class RequestScope:
    """Layer for request id, log fields, span, metrics, HEAD as GET, and unhandled exceptions."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        identifier = given if HARMLESS_ID.fullmatch(given) else uuid.uuid4().hex
        sender = _Sender(send, identifier, bodiless=scope["method"] == "HEAD")
        inner = {**scope, "method": "GET", BODILESS: True} if sender.bodiless else dict(scope)
        began = time.perf_counter()
        with (
            precedence().request(),
            bound(request=identifier),
            refused_as(scope["path"]),
            traces.span(scope["method"], headers.get("traceparent"), kind=SERVER) as span,
        ):
            try:
                await self._app(inner, receive, sender)
            except ClientDisconnect:
                logger.debug("%s %s: the client has gone", scope["method"], scope["path"])
            except Exception:
                logger.exception("%s %s failed", scope["method"], scope["path"])
                if sender.status:
                    raise
                await internal_error()(inner, receive, sender)
            # Raw paths would be too many label values.
            route = getattr(inner.get("route"), "path", "unknown")
            span.update_name(f"{scope['method']} {route}")
            self._measure(inner, route, sender.status, time.perf_counter() - began)

    def _measure(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        metrics.HTTP_REQUEST_SECONDS.labels(
            self._service, scope["method"], route, str(status)
        ).observe(seconds)
        logger.debug("%s %s %d %.1f ms", scope["method"], scope["path"], status, seconds * 1e3)


class _Sender:
    """``send`` that adds the request id to the response and remembers the status."""

    def __init__(self, send: Send, request_id: str, *, bodiless: bool) -> None:
        self._send = send
        self._request_id = request_id
        self.bodiless = bodiless
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            # Responses hold users' texts verbatim; no browser may interpret one as a page.
            headers["X-Content-Type-Options"] = "nosniff"
        elif self.bodiless and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


class Cors:
    """Layer that lets own pages read answers, with credentials, also errors; answers preflights.

    Own are ``origins`` and every port of the request's host.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], methods: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._methods = ", ".join(sorted({*methods, "HEAD", "OPTIONS"}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        scheme = scope.get("scheme", "http")
        known = origin in self._origins or (origin != "" and is_sibling(origin, scheme, headers))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.add_vary_header("Origin")
                if known:
                    answered["Access-Control-Allow-Origin"] = origin
                    answered["Access-Control-Allow-Credentials"] = "true"
                    answered["Access-Control-Expose-Headers"] = CORS_EXPOSED
            await send(message)

        if known and scope["method"] == "OPTIONS":
            allowed = {
                "Access-Control-Allow-Methods": self._methods,
                "Access-Control-Allow-Headers": CORS_HEADERS,
                "Access-Control-Max-Age": "600",
            }
            await answer("", headers=allowed)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def announced_length(scope: Scope) -> float:
    """Return the length of a body by its header, 0 without one; endless if it is no number."""
    announced = Headers(scope=scope).get("content-length", "0")
    return int(announced) if announced.isdigit() and len(announced) < 20 else math.inf


class BodyLimit:
    """Layer that decodes bodies, and refuses them above a size or beyond the memory budget.

    Sizes are those of decoded bodies; a length that is announced counts before anything arrives.

    The received part of a body counts against the server's `Uploads`, for the client's address, until
    the response is sent.
    `streamed` are limits of routes, by method and path, that hold no more than a piece of a body: it
    does not count, and is decoded by its handler.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        streamed: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> None:
        self._app = app
        self._limit = limit
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        streamed = self._streamed.get((scope["method"], scope["path"]))
        limit = streamed or self._limit
        if announced_length(scope) > limit:
            # Keep the connection open: closing it while the client sends would destroy the response.
            await problem(TooLarge(limit))(scope, receive, send)
            return
        try:
            gzipped = is_gzip(scope)
        except UnsupportedMediaType as unknown:
            answered = problem(unknown)
            answered.headers["Accept-Encoding"] = "gzip"
            await answered(scope, receive, send)
            return
        if gzipped and not streamed:
            scope, receive = decoded_scope(scope), Inflated(receive)
        uploads = None if streamed else (scope.get("extensions") or {}).get(UPLOADS)
        address = site(scope["client"][0] if scope.get("client") else "")
        body = _Body(receive, send, limit, uploads, address)
        try:
            await self._app(scope, body.receive, body.send)
        except (TooLarge, Unavailable) as refused:
            if body.answered:
                raise
            await problem(refused)(scope, receive, send)
        finally:
            body.release()


class _Body:
    """The body of one request, counted as it arrives."""

    def __init__(
        self, receive: Receive, send: Send, limit: int, uploads: Uploads | None, address: str
    ) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._uploads = uploads
        self._address = address
        self._arrived = 0
        self._taken = 0
        self.answered = False

    async def receive(self) -> Message:
        """Return the next part. Raises `TooLarge`, or `Unavailable` if no memory is left."""
        message = await self._receive()
        self._arrived += len(message.get("body", b""))
        if self._arrived > self._limit:
            raise TooLarge(self._limit)
        wanted = max(0, self._arrived - SMALL) - self._taken
        if self._uploads is not None and wanted > 0:
            self._uploads.take(self._address, wanted)
            self._taken += wanted
        return message

    async def send(self, message: Message) -> None:
        """Forward a message."""
        self.answered = True
        await self._send(message)

    def release(self) -> None:
        """Return the memory to the budget."""
        if self._uploads is not None and self._taken:
            self._uploads.give_back(self._address, self._taken)
        self._taken = 0
