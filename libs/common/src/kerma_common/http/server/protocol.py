"""Uvicorn's HTTP protocol with bounds on what a client may send and how long it may take.

Uvicorn limits neither the size of heads, the time to send head and body, the number of connections
nor the number of pipelined requests. Here each has a limit in `HttpSettings`
(docs/adr/0021-bounds-of-the-http-edge.md compares servers that have some of them built in).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
import orjson
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from kerma_common.http.body.uploads import UPLOADS, Uploads
from kerma_common.http.server.connections import REFUSED, Connections
from kerma_common.http.server.leaving import LEAVING, Leaving

NO_HTTP = "This is not an HTTP request"
TOO_SLOW = "The request took too long to arrive"
MOST_PIPELINED = 8
LINGER_SECONDS = 2.0
"""Seconds a refused client may keep sending: closing at once would destroy the response."""
GRACE_SECONDS = 10.0
"""Seconds before the pace of a body counts."""
STEADY_RATE = 1 << 20
"""Bytes per second that a body must average to go on after `body_seconds`."""
MOST_DISCARDED = 4
"""Multiples of the body limit that are read and discarded after the response."""


class EdgeConfig(uvicorn.Config):
    """Uvicorn's configuration, with the state that all connections of the server share."""

    def __init__(self, connections: Connections, app: ASGIApp, **named: Any) -> None:
        super().__init__(app, http=EdgeProtocol, **named)
        self.connections = connections
        self.uploads = Uploads(connections.settings.upload_memory)
        self.leaving = Leaving()


class _RefusedError(Exception):
    """The request exceeds a limit; parsing stops."""


class EdgeProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._register = cast(EdgeConfig, config).connections
        edge = cast(EdgeConfig, config)
        self._extensions: Any = {UPLOADS: edge.uploads, LEAVING: edge.leaving}
        self._settings = self._register.settings
        self.address = ""
        self._refusal: tuple[int, str] | None = None
        self._closing = False
        # Between requests, and the head of a request.
        self._quiet = True  # no byte of a request has arrived
        self._in_head = False
        self._deadline = 0.0  # for the next head; meaningless while a request is answered
        self._head_bytes = self._fields = 0  # trailers included
        self._heard = False  # whether the parser made something of the last bytes
        self._unheard = 0
        # The request body.
        self._receiving = False
        self._body_since = self._checked = 0.0
        self._body_bytes = self._discarded = 0
        # The response.
        self._unsent = 0
        self._unsent_since = 0.0

    # Connections.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection, or answer 503."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._deadline = self.loop.time() + self._settings.header_seconds
        if not self._register.admit(self):
            self._refuse(503, "There are too many connections; please try again")

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the register."""
        self._register.forget(self)
        super().connection_lost(exc)

    def make_room(self) -> None:
        """Close: another connection takes this place."""
        self._closing = True
        self.transport.close()

    # Incoming bytes.

    def data_received(self, data: bytes) -> None:
        """Parse; a violated limit or a syntax error ends the connection."""
        if self._closing:
            return
        self._unset_keepalive_if_required()
        if self._quiet and self._at_rest():
            self._await_head()
        self._heard = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no upgrade is supported: answer the request as it is
        except httptools.HttpParserError:
            self._refuse(*(self._refusal or (400, NO_HTTP)))
            return
        if self._heard:
            self._unheard = 0
        else:
            self._unheard += len(data)
            if self._unheard > self._settings.header_limit:
                self._refuse(431, self._too_large())

    def on_message_begin(self) -> None:
        """Start a request."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._heard = self._in_head = True
        self._head_bytes = self._fields = 0
        if self._at_rest():
            self._await_head()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request target."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; drop a trailer after a chunked body.

        The application reads the list of headers while the body arrives, so a trailer in it would
        pass for a header that was checked at the start (RFC 9110 6.5.1).
        """
        self._fields += 1
        if self._in_head:
            super().on_header(name, value)
        self._count(len(name) + len(value) + 4)
        if self._fields > self._settings.header_count:
            self._stop(431, f"The request has more than {self._settings.header_count} headers")

    def on_headers_complete(self) -> None:
        """Start the application, or queue the request behind others."""
        self._heard = True
        self._in_head = False
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop(429, f"More than {MOST_PIPELINED} requests wait for their answer")
        self._check_host()
        self._receiving = True
        self._body_since = self._checked = self.loop.time()
        self._body_bytes = self._discarded = 0
        self._register.busy(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; after the response, drop it to keep the connection."""
        self._heard = True
        self._body_bytes += len(body)
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MOST_DISCARDED * self._settings.body_limit:
                self._stop(413, "The body goes on after it was refused")

    def on_message_complete(self) -> None:
        """Note the last byte of a request."""
        self._heard = True
        self._receiving = False
        super().on_message_complete()
        if self._at_rest():
            self._rest()

    def on_response_complete(self) -> None:
        """Note that the last byte of a response went to the transport."""
        super().on_response_complete()
        if self._at_rest() and not self.transport.is_closing():
            self._rest()

    # Slow clients.

    def check(self, now: float) -> None:
        """End the connection if a deadline has passed."""
        if self._stuck(now):
            REFUSED.labels("unread answer").inc()
            self.transport.abort()
        elif self._closing:
            return
        elif self._at_rest():
            if now > self._deadline and self._quiet:
                self.make_room()
            elif now > self._deadline:
                self._refuse(408, TOO_SLOW)
        elif self._receiving and self._too_slow(now):
            self._refuse(408, "The body took too long to arrive")

    def _too_slow(self, now: float) -> bool:
        since, self._checked = now - self._checked, now
        if self.flow.read_paused:
            self._body_since += since  # the application does not read, so the client cannot send
            return False
        took = now - self._body_since
        if took > self._settings.body_seconds and self._body_bytes < STEADY_RATE * took:
            return True
        return took > GRACE_SECONDS and self._body_bytes < self._settings.body_rate * took

    def _stuck(self, now: float) -> bool:
        """Return whether the client reads nothing of the data that waits to be sent."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
            return False
        return now - self._unsent_since > self._settings.send_seconds

    # States.

    def _at_rest(self) -> bool:
        """Return whether no request is being answered and no body received."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self._receiving and not self.pipeline

    def _rest(self) -> None:
        """Wait for the next request, whose head may already be arriving."""
        if self._in_head:
            self._await_head()
            return
        self._quiet = True
        self._deadline = self.loop.time() + self._settings.idle_seconds
        self._register.idle(self)

    def _await_head(self) -> None:
        self._quiet = False
        self._deadline = self.loop.time() + self._settings.header_seconds
        self._register.opening(self)

    # Refusals.

    def _count(self, size: int) -> None:
        self._heard = True
        self._head_bytes += size
        if self._head_bytes > self._settings.header_limit:
            self._stop(431, self._too_large())

    def _check_host(self) -> None:
        """Refuse a request whose readers may differ on the host it is for (RFC 9112 3.2)."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1:
            self._stop(400, "The request has more than one Host header")
        if not hosts and self.parser.get_http_version() != "1.0":
            self._stop(400, "The request has no Host header")

    def _too_large(self) -> str:
        return f"The head of the request is larger than {self._settings.header_limit} bytes"

    def _stop(self, status: int, message: str) -> None:
        self._refusal = status, message
        raise _RefusedError

    def _refuse(self, status: int, message: str) -> None:
        """Answer with the reason, unless a response has begun, and end the connection."""
        REFUSED.labels(str(status)).inc()
        if self._closing or self.transport.is_closing():
            return
        self._closing = True
        if not self._may_answer():
            self.transport.abort()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # tells the application that the client is gone
            self.cycle.message_event.set()
        self.transport.write(_refusal(status, message))
        self.transport.write_eof()
        self.flow.resume_reading()
        # Closing at once, while the client still sends, would destroy the response.
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _may_answer(self) -> bool:
        if self.cycle is None or self._at_rest():
            return True
        return not self.pipeline and not self.cycle.response_started


def _refusal(status: int, message: str) -> bytes:
    body = orjson.dumps({"message": message})
    retry = "retry-after: 1\r\n" if status in (429, 503) else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body
