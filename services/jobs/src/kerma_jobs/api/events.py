"""Live updates of jobs as server-sent events."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Path
from starlette.responses import Response

from kerma_common.contracts.ids import share_of_primaries
from kerma_common.http.event_stream import EventStream
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated
from kerma_common.http.refusals.statuses import Body, answers
from kerma_common.http.route import KermaRoute
from kerma_jobs.api.jobs import JobRoutes
from kerma_jobs.api.status import describe, present
from kerma_jobs.app.live_updates import LiveUpdates, Show
from kerma_jobs.app.ports import LiveProgress
from kerma_jobs.read.changes import ChangedJob
from kerma_jobs.read.queries import TaskRow

STREAM = Body(
    str,
    'id: 12-40-7\nevent: job\ndata: {"id":"20261122-012556-35fb9d80","state":"RUNNING"}\n\n',
    "text/event-stream",
)
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


def shows(live: LiveProgress) -> Show:
    """Return what renders a job: its status without why it waits, with tasks counted by state."""

    def show(changed: ChangedJob) -> bytes:
        return orjson.dumps(as_json(changed, live))

    return show


def as_json(changed: ChangedJob, live: LiveProgress) -> dict[str, Any]:
    """Return a job with the sums over its tasks."""
    job = changed.job
    tasks = dict.fromkeys(("pending", "running", "completed", "failed", "canceled"), 0)
    waiting = job.n_tasks - len(changed.running) - sum(changed.ended.values())
    for state, number in (*changed.ended.items(), ("PENDING", waiting)):
        tasks[present(job, TaskRow(0, 0, state), live).state.lower()] += number
    simulated = changed.simulated
    for index, lease, done in changed.running:
        requested = share_of_primaries(job.primaries, job.n_tasks, index)
        now = present(job, TaskRow(index, requested, "RUNNING", lease, min(done, requested)), live)
        tasks[now.state.lower()] += 1
        simulated += now.simulated
    if tasks["completed"] == job.n_tasks:
        simulated = job.primaries  # also of tasks on a cluster that never told their end
    return {
        "id": job.job_id,
        "state": job.state,
        "message": describe(job),
        "version": job.version,
        "tasks": {"total": job.n_tasks, **tasks},
        "primaries": {"requested": job.primaries, "simulated": simulated},
    }
