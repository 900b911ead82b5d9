"""Routes by which scripts on clusters report, as YAPTIDE's workers do.

They need no login: an update key in the body names the job. What YAPTIDE answers 500 is 400 here,
naming the field. Repetitions get the same answer.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from kerma_common.http.answers import answer
from kerma_common.http.edge import request_id
from kerma_common.http.policy import public
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.security.update_keys import UpdateKeys, Verb
from kerma_jobs.api import report_shapes
from kerma_jobs.api.bulk_reports import NO_SUCH_TASK, add_bulk
from kerma_jobs.api.report_fields import (
    exactly,
    job_update,
    refused,
    require,
    task_index,
    task_update,
)
from kerma_jobs.app.reports import Reports

TASK_KEYS = frozenset({"simulation_id", "task_id", "update_key", "update_dict"})
JOB_KEYS = frozenset({"sim_id", "update_key"})
Report = Annotated[dict[str, Any], Body()]


def add_reports(api: APIRouter, reports: Reports, keys: UpdateKeys) -> None:
    """Add ``POST /tasks``, ``/tasks/bulk`` and ``/jobs``."""
    _add_task(api, reports, keys)
    add_bulk(api, reports, keys)

    @api.post("/jobs")
    @public()
    @answers(202, 409, takes=report_shapes.JOB, shows=envelope("Job updated"))
    async def job(body: Report) -> Response:
        require(body, JOB_KEYS)
        key = keys.verify(body["update_key"], body["sim_id"], Verb.JOB, number="sim_id")
        await reports.job(key, job_update(body), request_id())
        return answer("Job updated", 202)


def _add_task(api: APIRouter, reports: Reports, keys: UpdateKeys) -> None:
    @api.post("/tasks")
    @public()
    @answers(202, 409, takes=report_shapes.TASK, shows=envelope("Task updated"))
    async def task(body: Report) -> Response:
        exactly(body, TASK_KEYS)
        key = keys.verify(body["update_key"], body["simulation_id"], Verb.TASKS)
        index = task_index(body["task_id"], "task_id")
        update = task_update(index, body["update_dict"], "update_dict")
        known = await reports.tasks(key, [update])
        if not known[0]:
            raise refused("task_id", NO_SUCH_TASK)
        return answer("Task updated", 202)
