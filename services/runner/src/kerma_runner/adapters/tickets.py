"""Tickets on the WORK stream; signals on core NATS."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig

from kerma_common.bus import signals
from kerma_common.contracts.registry import adapter
from kerma_common.contracts.rpc_runner import (
    DISPATCH_SIGNAL,
    WORK_STREAM,
    HeldLease,
    Lane,
    StopSignal,
    Ticket,
    worker_signal,
)
from kerma_common.errors import Unavailable
from kerma_common.eventlog.refusals import Refusals
from kerma_common.telemetry.traces import HEADER

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker

ACK_WAIT = 10.0
"""Seconds until the ticket of a worker that died with it is delivered to another.

A claim is answered, or given up, within half of that (``kerma_common.bus.rpc.call``).
"""
PROBE_SUBJECT, PROBE_BYTES = "work.probe", 1024
MAX_TAKEN = 10_000
"""Tickets that may be delivered and not yet acknowledged; more than any lane has slots."""


class StreamTickets:
    """One durable pull consumer per lane, shared by the workers of the lane."""

    def __init__(self, broker: EdgeBroker, refusals: Refusals | None = None) -> None:
        self._broker = broker
        self._js = broker.client.jetstream()
        self._refusals = refusals or Refusals()

    async def open(self, lane: Lane) -> None:
        """See ``Tickets``."""
        config = ConsumerConfig(
            durable_name=lane.consumer,
            filter_subject=lane.subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=-1,
            max_ack_pending=MAX_TAKEN,
        )
        async with _reachable():
            await self._js.add_consumer(WORK_STREAM, config)

    async def clear(self, lane: Lane) -> None:
        """See ``Tickets``."""
        async with _reachable():
            await self._js.purge_stream(WORK_STREAM, subject=lane.subject)

    async def issue(self, lane: Lane, ticket: Ticket, trace: str | None) -> None:
        """See ``Tickets``."""
        body = adapter(Ticket).dump_json(ticket)
        headers = {} if trace is None else {HEADER: trace}
        try:
            async with _reachable():
                await self._broker.publish(body, lane.subject, stream=WORK_STREAM, headers=headers)
        except Unavailable as error:
            self._refusals.refused(WORK_STREAM, error)
            raise
        self._refusals.stored(WORK_STREAM)

    async def probe(self) -> None:
        """Issue a ticket that no lane takes, and delete it."""
        async with _reachable():
            await self._js.publish(PROBE_SUBJECT, os.urandom(PROBE_BYTES), stream=WORK_STREAM)
            await self._js.purge_stream(WORK_STREAM, subject=PROBE_SUBJECT)

    async def pending(self, lane: Lane) -> int:
        """See ``Tickets``."""
        async with _reachable():
            info = await self._js.consumer_info(WORK_STREAM, lane.consumer)
        return (info.num_pending or 0) + (info.num_ack_pending or 0)


class CoreSignals:
    """Signals over core NATS."""

    def __init__(self, broker: EdgeBroker) -> None:
        self._broker = broker

    async def stop(self, worker: str, leases: Sequence[HeldLease]) -> None:
        """See ``Signals``."""
        await signals.send(self._broker, worker_signal(worker), StopSignal(tuple(leases)))

    async def dispatch(self) -> None:
        """See ``Signals``."""
        await signals.send(self._broker, DISPATCH_SIGNAL)


@asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    try:
        yield
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise Unavailable(f"no work tickets now: {type(error).__name__}") from error
