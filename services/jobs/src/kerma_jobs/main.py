"""Wiring of the jobs service."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from kerma_common.bus.faststream import EdgeBroker
from kerma_common.commands.context import CommandContext
from kerma_common.commands.lateness import Lateness
from kerma_common.contracts.subjects import job_subject
from kerma_common.db.migrated import MigratedSchema
from kerma_common.db.sweeping import Sweeper
from kerma_common.http.app import create_app
from kerma_common.infra import Infra
from kerma_common.process.runner import process_loop
from kerma_common.process.tables import placed_process_tables, process_schema
from kerma_common.projection.loop import LogLoop
from kerma_common.projection.router import Projection
from kerma_common.projection.runner import projection_loop
from kerma_common.readiness import Readiness
from kerma_common.security.update_keys import load_update_keys
from kerma_common.service import Background, Service
from kerma_common.settings import HttpSettings, load
from kerma_engines.catalogue.catalogue import Catalogue, load_catalogue
from kerma_engines.catalogue.registry import ENGINE_NAMES
from kerma_engines.geant4.data import installed
from kerma_jobs.adapters.cluster_progress import ClusterProgress
from kerma_jobs.adapters.conversion.converter import ProcessConverter
from kerma_jobs.adapters.live_progress import TelemetryProgress
from kerma_jobs.adapters.logged_clusters import LoggedClusters
from kerma_jobs.adapters.request_keys import METADATA as REQUEST_KEYS
from kerma_jobs.adapters.request_keys import RequestKeys
from kerma_jobs.adapters.request_keys import over as keys_over
from kerma_jobs.adapters.reservations import METADATA as RESERVATIONS
from kerma_jobs.adapters.reservations import OVER as RESERVATIONS_OVER
from kerma_jobs.adapters.reservations import Reservations
from kerma_jobs.adapters.task_progress import ProgressRows
from kerma_jobs.api import events
from kerma_jobs.api.jobs import JobRoutes, router
from kerma_jobs.api.native.jobs import NativeJobs
from kerma_jobs.api.native.jobs import router as native_router
from kerma_jobs.api.status import TaskLists
from kerma_jobs.app.control import JobControl
from kerma_jobs.app.departures import Deletions, Departures
from kerma_jobs.app.lifecycle import ForgetProgress, JobLifecycle
from kerma_jobs.app.live_updates import LiveUpdates, StreamLimits
from kerma_jobs.app.outlook import Outlooks
from kerma_jobs.app.overdue import Overdue
from kerma_jobs.app.reports import Reports
from kerma_jobs.app.submission import Submitter
from kerma_jobs.domain.commands import EndOverdueJob, JobCommand
from kerma_jobs.domain.job import JOB
from kerma_jobs.read.changes import ChangeQueries
from kerma_jobs.read.lists import JobLists
from kerma_jobs.read.overview import Overview
from kerma_jobs.read.progress import METADATA as PROGRESS
from kerma_jobs.read.project import JOBS
from kerma_jobs.read.queries import JobQueries
from kerma_jobs.read.queue import QueueQueries
from kerma_jobs.read.search import JobSearch
from kerma_jobs.settings import JobsSettings

MIGRATED = MigratedSchema(
    process_schema("jobs"), (placed_process_tables("jobs"), RESERVATIONS, REQUEST_KEYS, PROGRESS)
)

PROCESS = JobLifecycle()
DEPARTURES = Departures()
PROCESSES = (PROCESS, DEPARTURES)
"""The process managers of the service."""


def projections(infra: Infra) -> tuple[Projection, ...]:  # noqa: ARG001 - others need ports
    """Return every read model of the service."""
    return (JOBS,)


def build(settings: HttpSettings, infra: Infra, own: JobsSettings | None = None) -> Service:
    """Build the parts of the service that this process runs; ``own`` comes from the environment.

    Raises SettingsError.
    """
    own = own or load(JobsSettings)
    loops = _loops(infra, own)
    live = TelemetryProgress()
    converter = ProcessConverter(infra.forks, _geant4_data(), sandbox=own.sandbox)
    clusters, edge = ClusterProgress(), EdgeBroker(infra.nats)
    routes = _routes(infra, own, live, converter, clusters)
    updates = _live_updates(infra, live, own, routes.outlooks)
    clusters.listen(edge, updates.progressed)
    native = NativeJobs(routes, JobSearch(infra.reads))
    # the streams come before `/v1/jobs/{job_id}`, which would match them
    routers = [events.router(routes, updates), router(routes), native_router(native)]
    background: list[tuple[str, Background]] = [(loop.sink.name, loop.run) for loop in loops]
    if "project" in infra.roles:
        stale = (RESERVATIONS_OVER, keys_over(own.idempotency_hours))
        background.append(("sweeper", Sweeper("jobs", infra.db, stale).run))
    if "api" in infra.roles:
        background += [
            ("live-progress", lambda: live.run(edge)),
            ("cluster-progress", lambda: clusters.run(edge)),
            ("converter", converter.run),
            ("live-updates", updates.run),
        ]
    health = Readiness(infra, projections(infra), [loop.retries for loop in loops])
    background += health.background
    app = create_app(
        "jobs",
        verifier=infra.verifier,
        health=health,
        settings=settings,
        catch_up=health.catch_up,
        large_bodies=converter.read,
        routers=routers if "api" in infra.roles else [],
    )
    return Service("jobs", app, tuple(background), health)


def _routes(
    infra: Infra,
    own: JobsSettings,
    live: TelemetryProgress,
    converter: ProcessConverter,
    clusters: ClusterProgress,
) -> JobRoutes:
    queries = JobQueries(infra.reads)
    lateness = Lateness(infra.log, infra.positions, JOBS.name, job_subject)
    return JobRoutes(
        queries=queries,
        submitter=Submitter(
            infra.bus,
            infra.blobs,
            converter,
            infra.clock,
            uuid4,
            known=ENGINE_NAMES,
            workers=queries,
            admission=Reservations(infra.writers, infra.service),
            keys=_request_keys(infra, own),
            clusters=LoggedClusters(infra.log),
            quotas=own.quotas,
            job_bins=own.job_bins,
            job_bytes=own.job_bytes,
        ),
        control=JobControl(infra.bus, infra.clock),
        positions=infra.positions,
        room=infra.room,
        blobs=infra.blobs,
        tasks=TaskLists(queries, live),
        lists=JobLists(infra.reads),
        outlooks=Outlooks(QueueQueries(infra.reads), live, infra.clock),
        lateness=lateness,
        reports=Reports(
            infra.bus,
            ProgressRows(infra.writers, infra.service),
            infra.blobs,
            infra.positions,
            infra.clock,
            lateness,
            clusters.note,
        ),
        update_keys=load_update_keys(infra.clock),
    )


def _live_updates(
    infra: Infra, live: TelemetryProgress, own: JobsSettings, outlooks: Outlooks
) -> LiveUpdates:
    limits = StreamLimits(own.streams, own.streams_per_user)
    updates = LiveUpdates(ChangeQueries(infra.reads), events.shows(live, outlooks), limits)
    infra.positions.listen(updates.moved)
    infra.identity.listen(updates.heard)
    live.listen(updates.progressed)
    return updates


def _geant4_data() -> dict[str, str]:
    """Return the variables of Geant4's data sets, as the workers of this machine see them."""
    file = os.environ.get("KERMA_ENGINES_FILE")
    catalogue = load_catalogue(Path(file)) if file else Catalogue()
    return installed(catalogue.environment("geant4"))


def _loops(infra: Infra, own: JobsSettings) -> list[LogLoop]:
    loops = []
    if "project" in infra.roles:
        loops += [
            projection_loop(projection, infra.log, infra.db, infra.positions)
            for projection in projections(infra)
        ]
    if "process" in infra.roles:
        progress = ProgressRows(infra.writers, infra.service)
        overdue = Overdue(infra.log, progress)

        async def dispatch(command: JobCommand | ForgetProgress, context: CommandContext) -> None:
            if isinstance(command, ForgetProgress):
                await progress.forget(command.job_id)
                return
            if isinstance(command, EndOverdueJob) and await overdue.is_alive(command):
                return
            await infra.bus.execute(JOB, job_subject(command.job_id), command, context)

        lifecycle = JobLifecycle(own.patience)
        loops.append(process_loop(lifecycle, infra.log, infra.db, dispatch, infra.clock))
        carry_out = deletions(infra, own).carry_out
        loops.append(process_loop(DEPARTURES, infra.log, infra.db, carry_out, infra.clock))
    return loops


def deletions(infra: Infra, own: JobsSettings) -> Deletions:
    """Return what carries out the removal of users."""
    return Deletions(
        infra.bus,
        infra.log,
        infra.positions,
        Overview(infra.db),
        _request_keys(infra, own),
        JobControl(infra.bus, infra.clock),
    )


def _request_keys(infra: Infra, own: JobsSettings) -> RequestKeys:
    return RequestKeys(infra.writers, infra.service, own.idempotency_hours, own.idempotency_keys)
