"""FastStream at the edge: requests of workers, signals, telemetry and publishing of tickets.

It uses the process's existing connection. The log is never consumed through it, and tickets are not
pulled through it (ADR 0003, ADR 0026). Handlers get bytes and decode them with ``bus.decoding``:
FastStream's decoding depends on headers that anyone may set.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import nats.errors
from faststream import AckPolicy, BaseMiddleware
from faststream.message import SourceType
from faststream.nats import NatsBroker
from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from kerma_common.bus.decoding import decode
from kerma_common.bus.rpc import failure_of
from kerma_common.poison import Malformed, Source, record_poison
from kerma_common.telemetry.traces import HEADER, span, traceparent

if TYPE_CHECKING:
    from types import TracebackType

    from faststream import ContextRepo
    from faststream.message import StreamMessage
    from faststream.nats import NatsMessage
    from nats.aio.client import Client

T = TypeVar("T")
Next = Callable[[Any], Awaitable[Any]]
CONSUMED = Histogram(
    "kerma_bus_message_seconds",
    "Time to handle a message beside the log",
    ["subject", "result"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
_SOURCES = {"rpc": Source.REQUEST, "tele": Source.TELEMETRY}
_RETRY_SECONDS = 1.0


def _label(subject: str) -> str:
    """Return a subject without its ids: ``rpc.runner.claim``, ``tele.task``."""
    tokens = subject.split(".")
    return ".".join(tokens[:3] if tokens[0] == "rpc" else tokens[:2])


def _is_answer(message: StreamMessage[Any]) -> bool:
    """Return whether a message is a reply: middlewares see these too, but only requests count."""
    return message.source_type is SourceType.RESPONSE


class Traces(BaseMiddleware[Any, Any]):
    """Middleware that carries the trace context in headers, so spans have their sender's as parent."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> Any:
        """Handle a message in a span if it belongs to a trace."""
        parent, subject = msg.headers.get(HEADER), msg.raw_message.subject
        # Progress arrives several times a second for hours, too much for a trace.
        if parent is None or _is_answer(msg) or subject.startswith("tele."):
            return await call_next(msg)
        with span(_label(subject), parent, kind=SpanKind.SERVER):
            return await call_next(msg)

    async def publish_scope(self, call_next: Next, cmd: Any) -> Any:
        """Send the current trace context along."""
        if trace := traceparent():
            cmd.add_headers({HEADER: trace})
        return await call_next(cmd)


class Metrics(BaseMiddleware[Any, Any]):
    """Middleware that measures how long handlers take, by subject and result."""

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> Any:
        """Handle a message and measure it."""
        if _is_answer(msg):
            return await call_next(msg)
        started, result = time.perf_counter(), "handled"
        try:
            return await call_next(msg)
        except Exception as error:
            result = type(error).__name__
            raise
        finally:
            label = _label(msg.raw_message.subject)
            CONSUMED.labels(label, result).observe(time.perf_counter() - started)


class Faults(BaseMiddleware[Any, Any]):
    """Middleware that turns failures into replies and records poison."""

    def __init__(self, client: Client, msg: Any, /, *, context: ContextRepo) -> None:
        super().__init__(msg, context=context)
        self._client = client

    async def consume_scope(self, call_next: Next, msg: StreamMessage[Any]) -> Any:
        """Handle a message; turn a failure into the reply."""
        if _is_answer(msg):
            return await call_next(msg)
        try:
            return await call_next(msg)
        except Malformed as error:
            raw = msg.raw_message
            source = _SOURCES.get(raw.subject.split(".")[0], Source.SIGNAL)
            what = (source, raw.subject, bytes(msg.body), str(error))
            await record_poison(self._client, *what)
            return failure_of(error)
        except Exception as error:
            return failure_of(error)


# FastStream runs decoders that are not coroutines in a thread, which costs more than the rest.
async def _as_it_is(message: NatsMessage) -> bytes:
    return bytes(message.body)


async def with_subject(message: NatsMessage) -> tuple[bytes, str]:
    """Return the decoder of a subscriber whose handler takes body and subject."""
    return bytes(message.body), message.raw_message.subject


class EdgeBroker(NatsBroker):
    """A broker that borrows its connection: starting and stopping leave it open."""

    def __init__(self, client: Client) -> None:
        super().__init__(
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,
            decoder=_as_it_is,
            logger=None,
            middlewares=(Traces, partial(Faults, client), Metrics),
            specification_url="nats://nats:4222",
        )
        self._borrowed = client
        # Requests and hints may go out before any handler runs.
        self.config.connect(client)

    @property
    def client(self) -> Client:
        """The connection of the process."""
        return self._borrowed

    async def _connect(self) -> Client:
        self.config.connect(self._borrowed)
        return self._borrowed

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """End the subscriptions; the connection belongs to the process."""
        self._connection = None
        await super().stop(exc_type, exc_val, exc_tb)
        self.config.connect(self._borrowed)

    def on_hint(self, subject: str, kind: type[T], handle: Callable[[T], None]) -> None:
        """Handle messages without a reply, in order; ``handle`` must return at once."""

        @self.subscriber(subject, no_reply=True)
        async def take(body: bytes) -> None:
            handle(decode(kind, body))

    async def serve(self) -> None:
        """Handle messages until cancelled; starts once the bus answers."""
        try:
            while True:
                try:
                    await self.start()
                    await asyncio.Event().wait()
                except (nats.errors.Error, OSError):
                    await self.stop()
                    await asyncio.sleep(_RETRY_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311
        finally:
            await self.stop()
