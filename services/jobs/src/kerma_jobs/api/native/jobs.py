"""Routes below ``/v1/jobs``. They execute the commands and reads of the YAPTIDE paths."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query
from fastapi import Body as JsonBody
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.errors import DomainRejected, Forbidden, NotFound
from kerma_common.http.answers import json_answer
from kerma_common.http.edge import request_id
from kerma_common.http.idempotency import Repeatable
from kerma_common.http.native import (
    ITEMS,
    Cursor,
    Limit,
    cursor,
    done,
    made,
    page,
    read_cursor,
    require_unchanged,
    resource,
)
from kerma_common.http.policy import CurrentPrincipal, authenticated
from kerma_common.http.refusals.statuses import answers
from kerma_common.http.route import KermaRoute
from kerma_common.security.principal import KEYCLOAK
from kerma_engines.adapter.packing import files_of
from kerma_jobs.api.jobs import JobRoutes
from kerma_jobs.api.lists import states_of
from kerma_jobs.api.native import views
from kerma_jobs.api.native.submission import NEW_JOB, parse_new_job, under_own_names
from kerma_jobs.api.status import describe
from kerma_jobs.app.submission import MAX_TASKS
from kerma_jobs.domain.state import TERMINAL
from kerma_jobs.read.queries import JobHead, TaskRow, number_of
from kerma_jobs.read.search import JobSearch, Place, Sought

JobId = Annotated[str, Path(max_length=200, description="The `id` of a job.")]
NOT_ON_CLUSTERS = "This account may not use clusters; they are for users of Keycloak"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST = 10**16  # microseconds; the year 2286


@dataclass(frozen=True, slots=True)
class NativeJobs:
    """Dependencies of the routes: those of the YAPTIDE paths, and the search."""

    jobs: JobRoutes
    search: JobSearch

    async def with_tasks(self, job_id: str, user_id: str) -> tuple[JobHead, list[TaskRow]]:
        """Return the caller's job and its tasks. Raises NotFound or Forbidden."""
        queries = self.jobs.queries
        found = await self.jobs.lateness.find(job_id, lambda: queries.status(job_id))
        if found is None:
            raise NotFound(UNKNOWN_JOB)
        if found[0].owner != user_id:
            raise Forbidden("Job does not belong to this user")
        return found

    async def view(self, job_id: str, user_id: str) -> dict[str, Any]:
        """Return the caller's job as JSON. Raises NotFound or Forbidden."""
        job, tasks = await self.with_tasks(job_id, user_id)
        outlook = await self.jobs.outlooks.of(job)
        return await views.job_view(job, tasks, self.jobs.tasks.live, outlook)


def router(routes: NativeJobs) -> APIRouter:
    """Return all routes below ``/v1/jobs``."""
    api = APIRouter(route_class=KermaRoute, prefix="/v1/jobs")
    for add in (_add_list, _add_submit, _add_one, _add_changes, _add_tasks, _add_inputs):
        add(api, routes)
    return api


def _add_list(api: APIRouter, routes: NativeJobs) -> None:
    @api.get("")
    @authenticated()
    @answers(200, 304, shows=views.JOBS)
    async def list_jobs(
        request: Request,
        principal: CurrentPrincipal,
        state: Annotated[str | None, Query(description="States, separated by commas.")] = None,
        engine: Annotated[
            str | None, Query(max_length=64, description="The engine that runs the job.")
        ] = None,
        text: Annotated[
            str | None,
            Query(max_length=200, description="In the title, or at the beginning of the id."),
        ] = None,
        cursor: Cursor = None,
        limit: Limit = ITEMS,
        total: Annotated[bool, Query(description="Also count the jobs of all pages.")] = False,
    ) -> Response:
        sought = Sought(states_of("state", state), engine, text or None)
        after = read_cursor(cursor, _place)
        found = await routes.search.page(principal.user_id, sought, after, limit + 1)
        shown = found[:limit]
        following = _cursor_of(shown[-1].submitted_at, shown[-1].job_id) if found[limit:] else None
        listed = page([views.summary(job) for job in shown], following)
        if total:
            listed["total"] = await routes.search.count(principal.user_id, sought)
        return resource(request, listed)


def _cursor_of(time: datetime, job_id: str) -> str:
    return cursor((time - _EPOCH) // _MICROSECOND, job_id)


def _place(parts: list[Any]) -> Place:
    time, job_id = parts
    if type(time) is not int or not 0 <= time <= _LATEST or not isinstance(job_id, str):
        raise ValueError
    if not job_id.isascii() or not job_id.isprintable():
        raise ValueError
    return _EPOCH + time * _MICROSECOND, job_id


def _add_submit(api: APIRouter, routes: NativeJobs) -> None:
    @api.post("")
    @authenticated()
    @answers(201, 403, 409, 422, 429, takes=NEW_JOB, shows=views.SUBMITTED)
    async def submit_job(
        body: Annotated[dict[str, Any], JsonBody()], principal: CurrentPrincipal, key: Repeatable
    ) -> Response:
        routes.jobs.room.check()
        submission = parse_new_job(body)
        if submission.batch is not None and principal.provider != KEYCLOAK:
            raise Forbidden(NOT_ON_CLUSTERS)
        with under_own_names():
            job_id, seq = await routes.jobs.submitter.submit(
                submission,
                owner=principal.user_id,
                request_id=request_id(),
                roles=principal.roles,
                key=key,
            )
        return made({"id": job_id}, f"/v1/jobs/{job_id}", **await routes.jobs.seen(seq))


def _add_one(api: APIRouter, routes: NativeJobs) -> None:
    @api.get("/{job_id}")
    @authenticated()
    @answers(200, 304, 404, shows=views.JOB)
    async def get_job(job_id: JobId, request: Request, principal: CurrentPrincipal) -> Response:
        return resource(request, await routes.view(job_id, principal.user_id))


def _add_changes(api: APIRouter, routes: NativeJobs) -> None:
    @api.post("/{job_id}/cancel")
    @authenticated()
    @answers(200, 404, 409, shows=views.CANCELED)
    async def cancel_job(job_id: JobId, principal: CurrentPrincipal) -> Response:
        job = await routes.jobs.owned(job_id, principal)
        if job.state in TERMINAL:
            return json_answer({"id": job_id, "state": job.state})
        seq = await routes.jobs.control.cancel(job_id, principal.user_id, request_id())
        canceled = {"id": job_id, "state": "CANCELED"}
        return json_answer(canceled, headers=await routes.jobs.seen(seq))

    @api.delete("/{job_id}")
    @authenticated()
    @answers(204, 404, 409, 412)
    async def delete_job(job_id: JobId, request: Request, principal: CurrentPrincipal) -> Response:
        if await routes.jobs.deleted(job_id, principal):
            return done()
        job, tasks = await routes.with_tasks(job_id, principal.user_id)
        if job.state not in TERMINAL:
            text = f"Cannot delete job which is in {job.state} state; cancel it first"
            raise DomainRejected("JOB_ACTIVE", text)
        # an ended job stays what it is, so nothing that matters comes between check and command
        view = await views.job_view(job, tasks, routes.jobs.tasks.live, None)
        require_unchanged(request, view)
        seq = await routes.jobs.control.delete(job_id, principal.user_id, request_id())
        return done(await routes.jobs.seen(seq))


def _add_tasks(api: APIRouter, routes: NativeJobs) -> None:
    @api.get("/{job_id}/tasks")
    @authenticated()
    @answers(200, 304, 404, shows=views.TASKS)
    async def list_tasks(
        job_id: JobId,
        request: Request,
        principal: CurrentPrincipal,
        cursor: Cursor = None,
        limit: Annotated[int, Query(ge=1, le=MAX_TASKS)] = ITEMS,
    ) -> Response:
        first = read_cursor(cursor, _number) or 0
        job, tasks = await routes.with_tasks(job_id, principal.user_id)
        shown = tasks[first : first + limit]
        return resource(
            request,
            {
                "job": {
                    "id": job_id,
                    "state": job.state,
                    "message": describe(job, await routes.jobs.waits(job)),
                },
                **page(
                    [views.task_view(job, task, routes.jobs.tasks.live) for task in shown],
                    _after(first + limit, len(tasks)),
                ),
            },
        )

    @api.get("/{job_id}/tasks/{number}")
    @authenticated()
    @answers(200, 304, 404, shows=views.TASK)
    async def get_task(
        job_id: JobId,
        number: Annotated[int, Path(ge=0, lt=2**31, description="The `number` of a task.")],
        request: Request,
        principal: CurrentPrincipal,
    ) -> Response:
        job, tasks = await routes.with_tasks(job_id, principal.user_id)
        for task in tasks:
            if number_of(job, task) == number:
                return resource(request, views.task_view(job, task, routes.jobs.tasks.live))
        raise NotFound("The job has no task with this number")


def _after(first: int, total: int) -> str | None:
    return cursor(first) if first < total else None


def _number(parts: list[Any]) -> int:
    (number,) = parts
    if type(number) is not int or not 0 <= number <= MAX_TASKS:
        raise ValueError
    return number


def _add_inputs(api: APIRouter, routes: NativeJobs) -> None:
    @api.get("/{job_id}/inputs")
    @authenticated()
    @answers(200, 304, 404, shows=views.INPUTS)
    async def get_inputs(job_id: JobId, request: Request, principal: CurrentPrincipal) -> Response:
        job = await routes.jobs.owned(job_id, principal)
        if job.input_ref is None:
            raise NotFound("The job has no input")
        project = None
        if job.project_ref is not None:
            project = orjson.Fragment(await routes.jobs.blobs.get(job.project_ref))
        # what is stored was checked at submission; parsing a lot would hold up other requests
        files = orjson.Fragment(files_of(await routes.jobs.blobs.get(job.input_ref)))
        return resource(
            request,
            {
                "type": views.input_type(job.input_kind),
                "primaries": job.primaries,
                "files": files,
                "project": project,
            },
        )
