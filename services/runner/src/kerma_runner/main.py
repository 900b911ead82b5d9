"""Wiring of the runner service."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from kerma_common.bus.faststream import EdgeBroker
from kerma_common.db.migrated import MigratedSchema
from kerma_common.http.app import create_app
from kerma_common.process.runner import process_loop
from kerma_common.process.tables import placed_process_tables, process_schema
from kerma_common.projection.loop import LogLoop
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.readiness import Readiness
from kerma_common.service import Service
from kerma_common.settings import load
from kerma_runner.adapters.heartbeat_rows import HeartbeatRows
from kerma_runner.adapters.tickets import CoreSignals, StreamTickets
from kerma_runner.api.demand import demand_routes
from kerma_runner.api.engines import engine_routes
from kerma_runner.api.workers import serve_dispatch_signal, serve_workers
from kerma_runner.app.claims import Claims
from kerma_runner.app.dispatcher import Dispatcher
from kerma_runner.app.duties import QueueSink, Round
from kerma_runner.app.expiry import Expiry
from kerma_runner.app.heartbeats import Heartbeats
from kerma_runner.app.supply import SupplyHandlers, TaskSupply
from kerma_runner.app.task_loss import Losses
from kerma_runner.app.task_sets import TaskSets
from kerma_runner.read.models import HEARTBEATS
from kerma_runner.read.open_tasks import OpenTasks
from kerma_runner.read.project import QUEUE
from kerma_runner.read.queries import QueueRows
from kerma_runner.settings import RunnerSettings

if TYPE_CHECKING:
    from kerma_common.infra import Infra
    from kerma_common.projection.router import Projection
    from kerma_common.projection.sink import Transaction
    from kerma_common.service import Background
    from kerma_common.settings import HttpSettings

NAME = "runner"

MIGRATED = MigratedSchema(process_schema(NAME), (placed_process_tables(NAME), HEARTBEATS))

DISPATCH_REST = 0.1
"""Seconds between two rounds of the dispatcher; the tickets that are out last longer."""
EXPIRY_REST = 0.5
"""Seconds between two looks at all leases, however often tasks change."""

PROCESS = TaskSupply()
PROCESSES = (PROCESS,)
"""The process managers of the service."""


def projections(infra: Infra) -> tuple[Projection, ...]:  # noqa: ARG001 - others need ports
    """Return every read model of the service."""
    return (QUEUE,)


def build(settings: HttpSettings, infra: Infra, rules: RunnerSettings | None = None) -> Service:
    """Build the parts of the service that ``infra.roles`` names.

    ``rules`` comes from the environment. ``api`` answers users and workers; ``project`` keeps the
    queue and, while it leads, dispatches and expires; ``process`` turns jobs into tasks.
    """
    rules = rules or load(RunnerSettings)
    rows, terms, heard = QueueRows(infra.db, infra.reads), rules.terms, HeartbeatRows(infra.db)
    broker = EdgeBroker(infra.nats)
    tickets, signals = StreamTickets(broker, infra.refusals), CoreSignals(broker)
    retries: list[Persistence] = []
    health = Readiness(infra, projections(infra), retries, {"ticket": tickets.probe})
    loops: list[LogLoop] = []
    sets, losses = TaskSets(infra.bus, infra.log), Losses(infra.bus, infra.log)
    if "api" in infra.roles:
        claims = Claims(infra.bus, sets, losses, heard, tickets, infra.clock, terms)
        serve_workers(broker, claims, Heartbeats(heard, rows, signals, infra.clock, terms))
    if "project" in infra.roles:
        sink = QueueSink(
            QUEUE, partial(_rounds, rules, infra, rows, tickets), infra.clock, health.catch_up.wait
        )
        serve_dispatch_signal(broker, sink.ring)
        loops.append(LogLoop(sink, infra.log, infra.db, infra.positions))
    if "process" in infra.roles:
        handlers = SupplyHandlers(infra.bus, infra.log, sets, losses, signals)
        loops.append(process_loop(PROCESS, infra.log, infra.db, handlers.dispatch, infra.clock))
    retries += (loop.retries for loop in loops)
    background: list[tuple[str, Background]] = [(loop.sink.name, loop.run) for loop in loops]
    background.append(("edge", broker.serve))
    background += health.background
    times = (infra.clock, terms.lease)
    routers = (
        [demand_routes(OpenTasks(infra.reads), *times), engine_routes(rows, *times)]
        if "api" in infra.roles
        else []
    )
    app = create_app(
        NAME,
        verifier=infra.verifier,
        health=health,
        settings=settings,
        catch_up=health.catch_up,
        routers=routers,
    )
    return Service(NAME, app, tuple(background), health)


def _rounds(
    rules: RunnerSettings,
    infra: Infra,
    rows: QueueRows,
    tickets: StreamTickets,
    fenced: Transaction,
) -> Sequence[Round]:
    def outages() -> int | None:
        return infra.nats.stats["reconnects"] if infra.nats.is_connected else None

    terms = rules.terms
    dispatcher = Dispatcher(OpenTasks(infra.reads), tickets, infra.clock, terms, rules.weights)
    expiry = Expiry(
        HeartbeatRows(infra.db),
        rows,
        infra.bus,
        TaskSets(infra.bus, infra.log),
        Losses(infra.bus, infra.log),
        infra.clock,
        terms,
        outages,
        fenced,
    )
    return Round(dispatcher.round, DISPATCH_REST), Round(expiry.round, EXPIRY_REST)
