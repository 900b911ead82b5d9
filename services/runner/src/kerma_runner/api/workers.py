"""Requests of workers over NATS. The permissions of the bus say who may send them.

The replicas share the requests in one queue group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from kerma_common.bus.decoding import decode
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
"""Requests that one replica handles concurrently."""


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
    _serve(broker, rpc.REGISTER, rpc.Registration, claims.register)
    _serve(broker, rpc.RETIRE, rpc.Retirement, claims.retire)
    _serve(broker, rpc.CLAIM, rpc.ClaimRequest, claims.claim)
    _serve(broker, rpc.START, rpc.StartRequest, claims.start)
    _serve(broker, rpc.HEARTBEAT, rpc.Heartbeat, heartbeats.hear)
    _serve(broker, rpc.REPORT, rpc.Report, claims.report)


def _serve(
    broker: EdgeBroker, subject: str, kind: type[T], answer: Callable[[T], Awaitable[object]]
) -> None:
    @broker.subscriber(subject, queue=QUEUE, max_workers=AT_ONCE)
    async def serve(body: bytes) -> bytes:
        return await _answer(answer(decode(kind, body)))


def serve_dispatch_signal(broker: EdgeBroker, ring: Callable[[], None]) -> None:
    """Pass dispatch signals to the dispatcher of this process, if it leads."""

    @broker.subscriber(rpc.DISPATCH_SIGNAL, no_reply=True)
    async def look(_: bytes) -> None:
        ring()
