"""Wiring of the runner service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kerma_common.bus.faststream import EdgeBroker
from kerma_common.http.app import create_app
from kerma_common.process.runner import process_loop
from kerma_common.projection.loop import LogLoop
from kerma_common.service import Service
from kerma_runner.adapters.tickets import CoreSignals, StreamTickets
from kerma_runner.api.demand import demand_routes
from kerma_runner.api.workers import serve_dispatch_signal, serve_workers
from kerma_runner.app.claims import Claims
from kerma_runner.app.dispatcher import Dispatcher
from kerma_runner.app.duties import QueueSink, Round
from kerma_runner.app.expiry import Expiry
from kerma_runner.app.heartbeats import Heartbeats
from kerma_runner.app.supply import SupplyHandlers, TaskSupply
from kerma_runner.read.project import QUEUE
from kerma_runner.read.queries import QueueRows

if TYPE_CHECKING:
    from kerma_common.infra import Infra
    from kerma_common.service import Worker
    from kerma_runner.settings import RunnerSettings

NAME = "runner"


def build(settings: RunnerSettings, infra: Infra) -> Service:
    """The service, with the parts that ``infra.roles`` names.

    ``api`` answers users and workers, ``project`` keeps the queue and, where it leads, dispatches
    and expires, ``process`` turns jobs into tasks.
    """
    rows, terms = QueueRows(infra.db), settings.terms
    tickets, signals = StreamTickets(infra.nats), CoreSignals(infra.nats)
    broker = EdgeBroker(infra.nats)
    loops: list[LogLoop] = []
    if "api" in infra.roles:
        claims = Claims(infra.bus, rows, tickets, infra.clock, terms)
        serve_workers(broker, claims, Heartbeats(rows, signals, infra.clock, terms))
    if "project" in infra.roles:
        sink = QueueSink(QUEUE, lambda: _rounds(settings, infra, rows, tickets), infra.clock)
        serve_dispatch_signal(broker, sink.ring)
        loops.append(LogLoop(sink, infra.log, infra.db, infra.positions))
    if "process" in infra.roles:
        handlers = SupplyHandlers(infra.bus, signals)
        loops.append(
            process_loop(TaskSupply(), infra.log, infra.db, handlers.dispatch, infra.clock)
        )

    async def health() -> Mapping[str, str]:
        faults = {loop.sink.name: "fails" for loop in loops if not loop.ready}
        return faults if infra.nats.is_connected else {**faults, "nats": "not connected"}

    app = create_app(
        NAME,
        verifier=infra.verifier,
        health=health,
        settings=settings.http,
        routers=[demand_routes(rows, infra.clock, terms.lease)],
    )
    workers: list[tuple[str, Worker]] = [(loop.sink.name, loop.run) for loop in loops]
    workers.append(("edge", lambda: _serve_edge(broker)))
    return Service(NAME, app, tuple(workers), health)


def _rounds(
    settings: RunnerSettings, infra: Infra, rows: QueueRows, tickets: StreamTickets
) -> Sequence[Round]:
    def outages() -> int | None:
        return infra.nats.stats["reconnects"] if infra.nats.is_connected else None

    terms = settings.terms
    dispatcher = Dispatcher(rows, tickets, infra.clock, terms, settings.weights)
    expiry = Expiry(rows, infra.bus, infra.clock, terms, outages)
    return (dispatcher.round, expiry.round)


async def _serve_edge(broker: EdgeBroker) -> None:
    await broker.start()
    try:
        await asyncio.Event().wait()
    finally:
        await broker.stop()
