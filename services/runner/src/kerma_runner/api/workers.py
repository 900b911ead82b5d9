"""Requests of workers over NATS; the bus's permissions say who may send them.

Replicas share the requests through one queue group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from faststream.nats import NatsBroker

from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.registry import adapter
from kerma_common.errors import KermaError, Unavailable
from kerma_common.projection.failures import is_passing
from kerma_runner.app.claims import Claims
from kerma_runner.app.heartbeats import Heartbeats

QUEUE = "runner"
AT_ONCE = 32
"""Requests that one replica works on at a time."""


async def _answer(work: Awaitable[object]) -> bytes:
    """The answer as JSON. Raises Unavailable when the database does not answer for now."""
    try:
        answer = await work
    except Exception as error:
        if is_passing(error) and not isinstance(error, KermaError):
            raise Unavailable("the runner's database does not answer") from error
        raise
    return adapter(type(answer)).dump_json(answer)


def serve_workers(broker: NatsBroker, claims: Claims, heartbeats: Heartbeats) -> None:
    """Answer workers' requests on ``broker``, from its start to its stop."""

    @broker.subscriber(rpc.REGISTER, queue=QUEUE, max_workers=AT_ONCE)
    async def register(offer: rpc.Registration) -> bytes:
        return await _answer(claims.register(offer))

    @broker.subscriber(rpc.RETIRE, queue=QUEUE, max_workers=AT_ONCE)
    async def retire(leaving: rpc.Retirement) -> bytes:
        return await _answer(claims.retire(leaving))

    @broker.subscriber(rpc.CLAIM, queue=QUEUE, max_workers=AT_ONCE)
    async def claim(request: rpc.ClaimRequest) -> bytes:
        return await _answer(claims.claim(request))

    @broker.subscriber(rpc.START, queue=QUEUE, max_workers=AT_ONCE)
    async def start(request: rpc.StartRequest) -> bytes:
        return await _answer(claims.start(request))

    @broker.subscriber(rpc.HEARTBEAT, queue=QUEUE, max_workers=AT_ONCE)
    async def heartbeat(beat: rpc.Heartbeat) -> bytes:
        return await _answer(heartbeats.hear(beat))

    @broker.subscriber(rpc.REPORT, queue=QUEUE, max_workers=AT_ONCE)
    async def report(ended: rpc.Report) -> bytes:
        return await _answer(claims.report(ended))


def serve_dispatch_signal(broker: NatsBroker, ring: Callable[[], None]) -> None:
    """Pass hints on to the dispatcher of this process, if it leads."""

    @broker.subscriber(rpc.DISPATCH_SIGNAL)
    async def look(_: bytes) -> None:
        ring()
