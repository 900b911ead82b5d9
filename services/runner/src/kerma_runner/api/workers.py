"""Requests of workers over NATS. The permissions of the bus say who may send them.

The replicas share the requests in one queue group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from kerma_common.bus.decoding import decode
from kerma_common.bus.unbundling import Handler, Unbundler
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.registry import adapter
from kerma_common.errors import KermaError, Unavailable
from kerma_common.projection.retries.failures import is_transient

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker
    from kerma_runner.app.claims import Claims
    from kerma_runner.app.heartbeats import Heartbeats

T = TypeVar("T")
QUEUE = "runner"
AT_ONCE = 32
"""Requests that one replica handles concurrently, of each kind and of all bundles."""


async def _answer(work: Awaitable[object]) -> bytes:
    """Return the answer as JSON. Raises Unavailable while the database does not answer."""
    try:
        answer = await work
    except Exception as error:
        if is_transient(error) and not isinstance(error, KermaError):
            raise Unavailable("the runner's database does not answer") from error
        raise
    return adapter(type(answer)).dump_json(answer)


def serve_workers(broker: EdgeBroker, claims: Claims, heartbeats: Heartbeats) -> None:
    """Answer the requests of workers while ``broker`` runs."""
    handlers = {
        rpc.REGISTER: _handler(rpc.Registration, claims.register),
        rpc.RETIRE: _handler(rpc.Retirement, claims.retire),
        rpc.CLAIM: _handler(rpc.ClaimRequest, claims.claim),
        rpc.START: _handler(rpc.StartRequest, claims.start),
        rpc.HEARTBEAT: _handler(rpc.Heartbeat, heartbeats.hear),
        rpc.REPORT: _handler(rpc.Report, claims.report),
    }
    bundled = {subject: handlers[subject] for subject in rpc.BUNDLED}
    bundles = Unbundler(broker.client, bundled, asyncio.Semaphore(AT_ONCE))
    for subject, handler in (*handlers.items(), (rpc.BUNDLE, bundles.answer)):
        broker.subscriber(subject, queue=QUEUE, max_workers=AT_ONCE)(handler)


def _handler(kind: type[T], answer: Callable[[T], Awaitable[object]]) -> Handler:
    async def handle(body: bytes) -> bytes:
        return await _answer(answer(decode(kind, body)))

    return handle


def serve_dispatch_signal(broker: EdgeBroker, ring: Callable[[], None]) -> None:
    """Pass dispatch signals to the dispatcher of this process, if it leads."""

    @broker.subscriber(rpc.DISPATCH_SIGNAL, no_reply=True)
    async def look(_: bytes) -> None:
        ring()
