"""Requests of workers over NATS; the bus's permissions say who may send them.

Replicas share the requests through one queue group.
"""

from __future__ import annotations

from collections.abc import Callable

from faststream.nats import NatsBroker

from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.registry import adapter
from kerma_runner.app.claims import Claims
from kerma_runner.app.heartbeats import Heartbeats

QUEUE = "runner"
AT_ONCE = 32
"""Requests that one replica works on at a time."""


def _json(answer: object) -> bytes:
    return adapter(type(answer)).dump_json(answer)


def serve_workers(broker: NatsBroker, claims: Claims, heartbeats: Heartbeats) -> None:
    """Answer workers' requests on ``broker``, from its start to its stop."""

    @broker.subscriber(rpc.REGISTER, queue=QUEUE, max_workers=AT_ONCE)
    async def register(offer: rpc.Registration) -> bytes:
        return _json(await claims.register(offer))

    @broker.subscriber(rpc.RETIRE, queue=QUEUE, max_workers=AT_ONCE)
    async def retire(leaving: rpc.Retirement) -> bytes:
        return _json(await claims.retire(leaving))

    @broker.subscriber(rpc.CLAIM, queue=QUEUE, max_workers=AT_ONCE)
    async def claim(request: rpc.ClaimRequest) -> bytes:
        return _json(await claims.claim(request))

    @broker.subscriber(rpc.START, queue=QUEUE, max_workers=AT_ONCE)
    async def start(request: rpc.StartRequest) -> bytes:
        return _json(await claims.start(request))

    @broker.subscriber(rpc.HEARTBEAT, queue=QUEUE, max_workers=AT_ONCE)
    async def heartbeat(beat: rpc.Heartbeat) -> bytes:
        return _json(await heartbeats.hear(beat))

    @broker.subscriber(rpc.REPORT, queue=QUEUE, max_workers=AT_ONCE)
    async def report(ended: rpc.Report) -> bytes:
        return _json(await claims.report(ended))


def serve_dispatch_signal(broker: NatsBroker, ring: Callable[[], None]) -> None:
    """Pass hints on to the dispatcher of this process, if it leads."""

    @broker.subscriber(rpc.DISPATCH_SIGNAL)
    async def look(_: bytes) -> None:
        ring()
