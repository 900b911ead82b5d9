"""Answering bundles of requests, each request as if it had come alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from kerma_common.bus.bundles import Answers, Bundle, Bundled
from kerma_common.bus.decoding import decode
from kerma_common.bus.faststream import CONSUMED
from kerma_common.bus.rpc import failure_of
from kerma_common.contracts.registry import adapter
from kerma_common.errors import Unavailable
from kerma_common.poison import Malformed, Source, record_poison
from kerma_common.telemetry.traces import span

if TYPE_CHECKING:
    from nats.aio.client import Client

Handler = Callable[[bytes], Awaitable[bytes]]
ANSWER_SECONDS = 2.0
"""A bundle is answered after this time; what is not done by then may be asked again."""


@dataclass(slots=True, eq=False)
class _Work:
    """The handling of one request; ``begun`` once it has a slot."""

    request: Bundled
    begun: bool = False
    task: asyncio.Task[bytes] = field(init=False)


@dataclass(frozen=True, slots=True)
class Unbundler:
    """Answers bundles. ``handlers`` map subjects to what answers a request with that subject.

    ``slots`` bounds the requests that are handled at once, late ones included.
    """

    client: Client
    handlers: Mapping[str, Handler]
    slots: asyncio.Semaphore
    _late: set[asyncio.Task[bytes]] = field(default_factory=set, init=False)

    async def answer(self, body: bytes) -> bytes:
        """Return the answers to the requests of a bundle. Raises Malformed."""
        works = [self._begin(request) for request in decode(Bundle, body).requests]
        try:
            await asyncio.wait([work.task for work in works], timeout=ANSWER_SECONDS)
        except asyncio.CancelledError:
            for work in works:
                work.task.cancel()
            raise
        bodies = tuple(self._outcome(work).decode() for work in works)
        return adapter(Answers).dump_json(Answers(bodies))

    def _begin(self, request: Bundled) -> _Work:
        work = _Work(request)
        work.task = asyncio.create_task(self._handle(work))
        return work

    def _outcome(self, work: _Work) -> bytes:
        if work.task.done():
            return work.task.result()
        if work.begun:
            # It goes on, as does one whose sender has given up.
            self._late.add(work.task)
            work.task.add_done_callback(self._late.discard)
        else:
            # Its sender asks again: requests must not pile up while the database is slow.
            work.task.cancel()
        return failure_of(Unavailable("the request takes long; ask again"))

    async def _handle(self, work: _Work) -> bytes:
        async with self.slots:
            work.begun = True
            request = work.request
            started, result = time.perf_counter(), "handled"
            try:
                return await self._answer(request)
            except Malformed as error:
                result = type(error).__name__
                what = (Source.REQUEST, request.subject, request.body.encode(), str(error))
                await record_poison(self.client, *what)
                return failure_of(error)
            except Exception as error:
                result = type(error).__name__
                return failure_of(error)
            finally:
                label = request.subject if request.subject in self.handlers else "unknown"
                CONSUMED.labels(label, result).observe(time.perf_counter() - started)

    async def _answer(self, request: Bundled) -> bytes:
        handler = self.handlers.get(request.subject)
        if handler is None:
            raise Malformed("no request that a bundle may hold")
        if request.trace is None:
            return await handler(request.body.encode())
        with span(request.subject, request.trace, kind=SpanKind.SERVER):
            return await handler(request.body.encode())
