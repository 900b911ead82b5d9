"""Routes to submit, watch, cancel and delete jobs, with the paths that clients expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from kerma_common.blobs.store import BlobStore
from kerma_common.commands.consistency import Positions
from kerma_common.commands.lateness import Lateness
from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.errors import Forbidden, NotFound
from kerma_common.http.answers import answer
from kerma_common.http.edge import request_id
from kerma_common.http.idempotency import Repeatable
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.http.route import KermaRoute
from kerma_common.room import Room
from kerma_common.security.principal import KEYCLOAK
from kerma_common.security.update_keys import UpdateKeys
from kerma_engines.adapter.packing import files_of
from kerma_jobs.api import shapes
from kerma_jobs.api.lists import add_simulations
from kerma_jobs.api.reports import add_reports
from kerma_jobs.api.status import TaskLists, describe
from kerma_jobs.app.control import JobControl
from kerma_jobs.app.outlook import Outlooks
from kerma_jobs.app.reports import Reports
from kerma_jobs.app.submission import (
    Submission,
    Submitter,
    parse_batch_submission,
    parse_submission,
)
from kerma_jobs.domain.state import TERMINAL
from kerma_jobs.read.lists import JobLists
from kerma_jobs.read.queries import JobHead, JobQueries

JobIdParameter = Annotated[str, Query(alias="job_id", max_length=200)]


@dataclass(frozen=True, slots=True)
class JobRoutes:
    """Dependencies of the routes."""

    queries: JobQueries
    submitter: Submitter
    control: JobControl
    positions: Positions
    blobs: BlobStore
    tasks: TaskLists
    lists: JobLists
    room: Room
    outlooks: Outlooks
    lateness: Lateness
    reports: Reports
    update_keys: UpdateKeys

    async def owned(self, job_id: str, principal: Principal) -> JobHead:
        """Return the caller's job. Raises NotFound or Forbidden."""
        found = await self.lateness.find(job_id, lambda: self.queries.head(job_id))
        return _owned(found, principal)

    async def status(self, job_id: str, principal: Principal) -> tuple[JobHead, bytes]:
        """Return the caller's job and its rendered task list. Raises NotFound or Forbidden."""
        found, tasks = await self.tasks.read(job_id, principal.user_id)
        if found is None and await self.lateness.has_heard(job_id):
            found, tasks = await self.tasks.read(job_id, principal.user_id)
        return _owned(found, principal), tasks

    async def deleted(self, job_id: str, principal: Principal) -> bool:
        """Return whether the caller has deleted this job."""
        return await self.queries.owner_of_deleted(job_id) == principal.user_id

    async def waits(self, job: JobHead) -> str:
        """Return why a job that was just read is not running; empty if it is, or has ended."""
        if job.state == "RUNNING" and not self.tasks.rests(job):
            return ""
        outlook = await self.outlooks.of(job)
        return outlook.text if outlook is not None else ""

    async def seen(self, seq: int) -> dict[str, str]:
        """Wait until reads show the commit; return the header with the position."""
        await self.positions.wait("jobs", "JOBS", seq)
        return {"Kerma-Position": f"JOBS={seq}"}


def _owned(job: JobHead | None, principal: Principal) -> JobHead:
    if job is None:
        raise NotFound(UNKNOWN_JOB)
    if job.owner != principal.user_id:
        raise Forbidden("Job does not belong to this user")
    return job


def router(routes: JobRoutes) -> APIRouter:
    """Return all routes of the service."""
    api = APIRouter(route_class=KermaRoute)
    _add_submit(api, routes)
    _add_status(api, routes)
    _add_cancel_and_delete(api, routes)
    _add_inputs(api, routes)
    add_simulations(api, routes.lists)
    add_reports(api, routes.reports, routes.update_keys)
    return api


def _add_submit(api: APIRouter, routes: JobRoutes) -> None:
    @api.post("/jobs/direct")
    @authenticated()
    @answers(202, 403, 409, 422, 429, takes=shapes.DIRECT, shows=shapes.SUBMITTED)
    async def submit(
        body: Annotated[dict[str, Any], Body()], principal: CurrentPrincipal, key: Repeatable
    ) -> Response:
        return await _submit(routes, body, parse_submission, principal, key)

    @api.post("/jobs/batch")
    @authenticated(KEYCLOAK)
    @answers(202, 403, 409, 422, 429, takes=shapes.DIRECT, shows=shapes.SUBMITTED)
    async def submit_batch(
        body: Annotated[dict[str, Any], Body()], principal: CurrentPrincipal, key: Repeatable
    ) -> Response:
        return await _submit(routes, body, parse_batch_submission, principal, key)


async def _submit(
    routes: JobRoutes,
    body: dict[str, Any],
    parse: Callable[[dict[str, Any]], Submission],
    principal: Principal,
    key: Repeatable,
) -> Response:
    routes.room.check()
    job_id, seq = await routes.submitter.submit(
        parse(body),
        owner=principal.user_id,
        request_id=request_id(),
        roles=principal.roles,
        key=key,
    )
    return answer("Job waiting for execution", 202, headers=await routes.seen(seq), job_id=job_id)


def _add_status(api: APIRouter, routes: JobRoutes) -> None:
    @api.get("/jobs")
    @api.get("/jobs/direct")
    @authenticated()
    @answers(200, 404, shows=shapes.STATUS)
    async def status(job_id: JobIdParameter, principal: CurrentPrincipal) -> Response:
        return await _status(routes, job_id, principal)

    @api.get("/jobs/batch")
    @authenticated(KEYCLOAK)
    @answers(200, 404, shows=shapes.STATUS)
    async def batch_status(job_id: JobIdParameter, principal: CurrentPrincipal) -> Response:
        return await _status(routes, job_id, principal)


async def _status(routes: JobRoutes, job_id: str, principal: Principal) -> Response:
    job, tasks = await routes.status(job_id, principal)
    return answer(
        describe(job, await routes.waits(job)),
        job_state=job.state,
        job_tasks_status=orjson.Fragment(tasks),
        partial_results_available=False,
    )


def _add_cancel_and_delete(api: APIRouter, routes: JobRoutes) -> None:
    @api.delete("/jobs/direct")
    @authenticated()
    @answers(200, 404, 409, shows=envelope("Job canceled"))
    async def cancel(job_id: JobIdParameter, principal: CurrentPrincipal) -> Response:
        return await _cancel(routes, job_id, principal)

    @api.delete("/jobs/batch")
    @authenticated(KEYCLOAK)
    @answers(200, 404, 409, shows=envelope("Job canceled"))
    async def cancel_batch(job_id: JobIdParameter, principal: CurrentPrincipal) -> Response:
        return await _cancel(routes, job_id, principal)

    @api.delete("/user/simulations")
    @authenticated()
    @answers(200, 404, 409, shows=envelope("Job deleted"))
    async def delete(job_id: JobIdParameter, principal: CurrentPrincipal) -> Response:
        if await routes.deleted(job_id, principal):
            return answer("Job deleted")
        job = await routes.owned(job_id, principal)
        if job.state not in TERMINAL:
            raise Forbidden(f"Cannot delete job which is in {job.state} state; cancel it first")
        seq = await routes.control.delete(job_id, principal.user_id, request_id())
        return answer("Job deleted", headers=await routes.seen(seq))


async def _cancel(routes: JobRoutes, job_id: str, principal: Principal) -> Response:
    job = await routes.owned(job_id, principal)
    if job.state in TERMINAL:
        return answer(f"Cannot cancel job which is in {job.state} state", job_state=job.state)
    seq = await routes.control.cancel(job_id, principal.user_id, request_id())
    return answer("Job canceled", headers=await routes.seen(seq))


def _add_inputs(api: APIRouter, routes: JobRoutes) -> None:
    @api.get("/inputs")
    @authenticated()
    @answers(200, 404, shows=shapes.INPUTS)
    async def inputs(job_id: JobIdParameter, principal: CurrentPrincipal) -> Response:
        job = await routes.owned(job_id, principal)
        if job.input_ref is None:
            raise NotFound("The job has no input")
        # what is stored was checked at submission; parsing a lot would hold up other requests
        stored = await routes.blobs.get(job.input_ref)
        shown: dict[str, Any] = {
            "input_type": job.input_kind,
            "input_files": orjson.Fragment(files_of(stored)),
            "number_of_all_primaries": job.primaries,
        }
        if job.project_ref is not None:
            shown["input_json"] = orjson.Fragment(await routes.blobs.get(job.project_ref))
        return answer("Input of the job", input=shown)
