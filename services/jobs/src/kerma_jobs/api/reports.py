"""Routes by which scripts on clusters report, as YAPTIDE's workers do.

They need no login: an update key in the body names the job. What YAPTIDE answers 500 is 400 here,
naming the field. Repetitions get the same answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.answers import answer
from kerma_common.http.edge import request_id
from kerma_common.http.policy import public
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.security.update_keys import UpdateKeys, Verb
from kerma_jobs.api import report_shapes
from kerma_jobs.api.report_fields import (
    job_update,
    objects,
    task_index,
    task_update,
)
from kerma_jobs.app.reports import Reports

TASK_KEYS = frozenset({"simulation_id", "task_id", "update_key", "update_dict"})
BULK_KEYS = frozenset({"simulation_id", "update_key", "tasks"})
JOB_KEYS = frozenset({"sim_id", "update_key"})
Report = Annotated[dict[str, Any], Body()]


def add_reports(api: APIRouter, reports: Reports, keys: UpdateKeys) -> None:
    """Add ``POST /tasks``, ``/tasks/bulk`` and ``/jobs``."""
    _add_tasks(api, reports, keys)

    @api.post("/jobs")
    @public()
    @answers(202, 409, takes=report_shapes.JOB, shows=envelope("Job updated"))
    async def job(body: Report) -> Response:
        _require(body, JOB_KEYS)
        key = keys.verify(body["update_key"], body["sim_id"], Verb.JOB, number="sim_id")
        await reports.job(key, job_update(body), request_id())
        return answer("Job updated", 202)


def _add_tasks(api: APIRouter, reports: Reports, keys: UpdateKeys) -> None:
    @api.post("/tasks")
    @public()
    @answers(202, 409, takes=report_shapes.TASK, shows=envelope("Task updated"))
    async def task(body: Report) -> Response:
        _exactly(body, TASK_KEYS)
        key = keys.verify(body["update_key"], body["simulation_id"], Verb.TASKS)
        index = task_index(body["task_id"], "task_id")
        update = task_update(index, body["update_dict"], "update_dict")
        known = await reports.tasks(key, [update])
        if not known[0]:
            raise InvalidRequest(WRONG_DATA, {"task_id": ["The simulation has no such task."]})
        return answer("Task updated", 202)

    @api.post("/tasks/bulk")
    @public()
    @answers(202, 409, takes=report_shapes.TASKS, shows=envelope("Tasks updated"))
    async def tasks(body: Report) -> Response:
        _exactly(body, BULK_KEYS)
        key = keys.verify(body["update_key"], body["simulation_id"], Verb.TASKS)
        updates = []
        for number, entry in enumerate(objects(body["tasks"], "tasks")):
            place = f"tasks.{number}"
            _exactly(entry, {"task_id", "update_dict"}, place)
            index = task_index(entry["task_id"], f"{place}.task_id")
            updates.append(task_update(index, entry["update_dict"], f"{place}.update_dict"))
        await reports.tasks(key, updates)
        return answer("Tasks updated", 202)


def _require(body: Mapping[str, Any], keys: Collection[str], place: str = "") -> None:
    """Raise InvalidRequest naming the keys that are missing."""
    if not body:
        raise InvalidRequest("No JSON in body")
    if missing := sorted(set(keys) - body.keys()):
        raise InvalidRequest(
            f"Missing keys in JSON payload: {', '.join(missing)}",
            {_named(place, key): ["Missing data for required field."] for key in missing},
        )


def _exactly(body: Mapping[str, Any], keys: Collection[str], place: str = "") -> None:
    """Raise InvalidRequest naming the keys that are missing, or those that are unknown."""
    _require(body, keys, place)
    if unknown := sorted(body.keys() - set(keys)):
        raise InvalidRequest(
            WRONG_DATA, {_named(place, key): ["Unknown field."] for key in unknown}
        )


def _named(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
