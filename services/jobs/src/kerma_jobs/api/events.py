"""Live updates of jobs as server-sent events."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, cast

import orjson
from fastapi import APIRouter, Header, Path
from starlette.responses import Response

from kerma_common.contracts.ids import share_of_primaries
from kerma_common.http.event_stream import EventStream
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated
from kerma_common.http.refusals.statuses import answers
from kerma_common.http.route import KermaRoute
from kerma_jobs.api.event_shapes import STREAM, JobUpdate
from kerma_jobs.api.jobs import JobRoutes
from kerma_jobs.api.native.views import State, counts
from kerma_jobs.api.status import describe, present
from kerma_jobs.app.live_updates import LiveUpdates, Show, Shown
from kerma_jobs.app.outlook import Outlooks
from kerma_jobs.app.ports import LiveProgress
from kerma_jobs.domain.state import BATCH
from kerma_jobs.read.changes import ChangedJob
from kerma_jobs.read.queries import TaskRow

JobId = Annotated[str, Path(max_length=200, description="The `id` of a job.")]
LastId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=100, description="The `id` of the last event seen."),
]


def router(routes: JobRoutes, updates: LiveUpdates) -> APIRouter:
    """Return the streams. They come before ``/v1/jobs/{job_id}``, which would match them."""
    api = APIRouter(route_class=KermaRoute, prefix="/v1/jobs")

    async def stream(principal: Principal, job_id: str | None, last_id: str | None) -> Response:
        listener = await updates.open(principal, job_id, last_id)
        return EventStream(listener.mailbox, lambda: updates.close(listener))

    @api.get("/events")
    @authenticated()
    @answers(200, 429, shows=STREAM)
    async def all_events(principal: CurrentPrincipal, last_id: LastId = None) -> Response:
        return await stream(principal, None, last_id)

    @api.get("/{job_id}/events")
    @authenticated()
    @answers(200, 404, 429, shows=STREAM)
    async def job_events(
        job_id: JobId, principal: CurrentPrincipal, last_id: LastId = None
    ) -> Response:
        await routes.owned(job_id, principal)
        return await stream(principal, job_id, last_id)

    return api


def shows(live: LiveProgress, outlooks: Outlooks) -> Show:
    """Return what renders a job: its status with its tasks counted by state."""

    async def show(changed: ChangedJob) -> Shown:
        outlook = None if changed.running else await outlooks.of(changed.job)
        text = outlook.text if outlook is not None else ""
        return Shown(orjson.dumps(as_json(changed, live, text)), _waits(changed))

    return show


def _waits(changed: ChangedJob) -> bool:
    """Return whether it depends on others than the job itself when it goes on."""
    open_ = changed.job.state in ("PENDING", "RUNNING") and changed.job.platform != BATCH
    return open_ and not changed.running


def as_json(changed: ChangedJob, live: LiveProgress, waits: str) -> JobUpdate:
    """Return a job with the sums over its tasks."""
    job = changed.job
    tasks = Counter[str]()
    waiting = job.n_tasks - len(changed.running) - sum(changed.ended.values())
    for state, number in (*changed.ended.items(), ("PENDING", waiting)):
        tasks[present(job, TaskRow(0, 0, state), live).state] += number
    simulated = changed.simulated
    for index, lease, done in changed.running:
        requested = share_of_primaries(job.primaries, job.n_tasks, index)
        now = present(job, TaskRow(index, requested, "RUNNING", lease, min(done, requested)), live)
        tasks[now.state] += 1
        simulated += now.simulated
    if tasks["COMPLETED"] == job.n_tasks:
        simulated = job.primaries  # also of tasks on a cluster that never told their end
    return {
        "id": job.job_id,
        "state": cast(State, job.state),
        "message": describe(job, waits),
        "version": job.version,
        "tasks": counts(tasks),
        "primaries": {"requested": job.primaries, "simulated": simulated},
    }
