"""Wiring of the results service: the only place where ports meet adapters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kerma_common.commands.lateness import Lateness
from kerma_common.contracts.subjects import job_subject
from kerma_common.db.engine import autocommit
from kerma_common.db.migrated import MigratedSchema
from kerma_common.http.app import create_app
from kerma_common.process.runner import process_loop
from kerma_common.process.tables import placed_process_tables, process_schema
from kerma_common.projection.runner import projection_loop
from kerma_common.readiness import Readiness
from kerma_common.security.update_keys import load_update_keys
from kerma_common.service import Background, Service
from kerma_common.settings import load
from kerma_engines.catalogue.registry import engine
from kerma_results.adapters.confined.client import ConfinedMerges
from kerma_results.adapters.deliveries.client import ConfinedBodies
from kerma_results.adapters.deliveries.storing import DeliveredPages
from kerma_results.adapters.fragment_rows import FragmentRows
from kerma_results.adapters.merger import BlobMerger
from kerma_results.adapters.page_blobs import PageBlobs
from kerma_results.api import deliveries as delivery_routes
from kerma_results.api import logfiles, native, results
from kerma_results.api.access import Access
from kerma_results.api.reading import DeliveryReader
from kerma_results.app.callers import Callers
from kerma_results.app.deliveries import Deliveries
from kerma_results.app.log_deliveries import LogDeliveries
from kerma_results.app.logs import Logs
from kerma_results.app.merging import Merging
from kerma_results.app.places import Places
from kerma_results.app.supply import MergeSupply, dispatcher
from kerma_results.read.attempts import AttemptQueries
from kerma_results.read.project import RESULTS
from kerma_results.read.queries import ResultQueries
from kerma_results.settings import ResultsSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter

    from kerma_common.infra import Infra
    from kerma_common.projection.loop import LogLoop
    from kerma_common.projection.router import Projection
    from kerma_common.settings import HttpSettings
    from kerma_engines.adapter.port import Engine

NAME = "results"

MIGRATED = MigratedSchema(process_schema(NAME), (placed_process_tables(NAME),))

PROCESS = MergeSupply()
PROCESSES = (PROCESS,)
"""The process managers of the service."""


def projections(infra: Infra) -> tuple[Projection, ...]:
    """Return every read model of the service."""
    prepare = FragmentRows(infra.blobs).prepare
    return (replace(RESULTS, prepare=prepare),)


def build(
    settings: HttpSettings,
    infra: Infra,
    engines: Callable[[str], Engine] = engine,
    own: ResultsSettings | None = None,
) -> Service:
    """Build the parts of the service that the roles of this process name.

    ``engines`` returns the engine that reads a job's outputs, by name; other processes import this
    function.
    ``own`` are the service's settings, by default those of the environment.
    """
    own = own or load(ResultsSettings)
    queries = ResultQueries(autocommit(infra.db), infra.reads)
    loops = _loops(infra)
    retries = [loop.retries for loop in loops]
    health = Readiness(infra, projections(infra), retries)
    background: list[tuple[str, Background]] = [(loop.sink.name, loop.run) for loop in loops]
    background += health.background
    if "process" in infra.roles:
        confined = ConfinedMerges(engines, own, infra.forks)
        merges = Merging(
            queries,
            BlobMerger(infra.blobs, confined),
            PageBlobs(infra.blobs),
            infra.log,
            infra.bus,
            infra.positions,
            infra.clock,
        )
        retries.append(merges.retries)
        background.append(("merge", health.catch_up.first(merges.run)))

    bodies = (
        ConfinedBodies(own, infra.forks, settings.stream_limit) if "api" in infra.roles else None
    )
    if {"api", "process"} & infra.roles:
        background.append(("forks", infra.forks.run))
    app = create_app(
        NAME,
        verifier=infra.verifier,
        health=health,
        settings=settings,
        routers=_routers(infra, queries, own, bodies, settings) if bodies else (),
        catch_up=health.catch_up,
    )
    return Service(NAME, app, tuple(background), health)


def _routers(
    infra: Infra,
    queries: ResultQueries,
    own: ResultsSettings,
    bodies: ConfinedBodies,
    settings: HttpSettings,
) -> tuple[APIRouter, ...]:
    places = Places(own.deliveries_at_once)
    callers = Callers(load_update_keys(infra.clock), queries, infra.log, infra.positions)
    deliveries = Deliveries(
        callers,
        bodies,
        DeliveredPages(infra.blobs),
        infra.blobs,
        infra.bus,
        places,
        infra.room,
        infra.clock,
    )
    log_deliveries = LogDeliveries(callers, infra.blobs, infra.bus, infra.room, infra.clock)
    reader = DeliveryReader(callers, bodies, places, settings.json_depth, delivery_routes.LOG_KEYS)
    logs = Logs(AttemptQueries(autocommit(infra.db)), infra.blobs)
    access = Access(queries, Lateness(infra.log, infra.positions, RESULTS.name, job_subject))
    return (
        results.routes(access),
        logfiles.routes(access, logs),
        native.routes(access, logs),
        delivery_routes.routes(deliveries, log_deliveries, reader, infra.positions),
    )


def _loops(infra: Infra) -> list[LogLoop]:
    loops: list[LogLoop] = []
    if "project" in infra.roles:
        loops += (
            projection_loop(projection, infra.log, infra.db, infra.positions)
            for projection in projections(infra)
        )
    if "process" in infra.roles:
        dispatch = dispatcher(infra.bus)
        loops.append(process_loop(PROCESS, infra.log, infra.db, dispatch, infra.clock))
    return loops
