"""Jobs and tasks as ``/v1`` shows them: types, examples, and how rows become them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from kerma_common.http.answers import iso_time, iso_time_or_none
from kerma_common.http.refusals.statuses import Body
from kerma_jobs.api.shapes import ID
from kerma_jobs.api.status import describe, present
from kerma_jobs.app.outlook import Outlook
from kerma_jobs.app.ports import LiveProgress
from kerma_jobs.domain.waiting import Reason
from kerma_jobs.read.lists import ListedJob
from kerma_jobs.read.queries import AT_A_TIME, JobHead, TaskRow, number_of

State = Literal[
    "PENDING",
    "RUNNING",
    "MERGING_QUEUED",
    "MERGING_RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELED",
    "UNKNOWN",
]
TaskState = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELED"]
Time = Annotated[
    str, Field(description="ISO 8601, UTC.", json_schema_extra={"format": "date-time"})
]
INPUT_TYPES = {"EDITOR": "project", "FILES": "files"}


class JobSummary(TypedDict):
    """A job in a list. ``engine`` runs it, ``engine_asked_for`` is what the user chose."""

    id: str
    title: str
    state: State
    submitted_at: Time
    ended_at: Time | None
    platform: str
    input_type: Literal["project", "files"]
    engine: str
    engine_version: str
    engine_asked_for: str


class Primaries(TypedDict):
    """Primaries of all tasks; ``merged``: those in the results, once there are any."""

    requested: int
    simulated: int
    merged: int | None


class TaskCounts(TypedDict):
    """Tasks by state."""

    total: int
    pending: int
    running: int
    completed: int
    failed: int
    canceled: int


class Links(TypedDict):
    """Where more is to be found."""

    tasks: str
    inputs: str
    results: str
    logs: str


class Waiting(TypedDict):
    """Why a job is not running, null if it is, and when it may start and end.

    Estimates rest on the pace of ``estimated_from``; ``tasks_ahead`` are tasks of all users.
    """

    reason: Reason | None
    message: str
    tasks_ahead: int | None
    estimated_start_at: Time | None
    estimated_end_at: Time | None
    estimated_from: Literal["this job", "other jobs"] | None


class JobView(JobSummary):
    """A job. ``message`` describes its state; ``partial``: some tasks are not in the results.

    ``waiting`` is null once no task waits or runs.
    """

    message: str
    waiting: Waiting | None
    primaries: Primaries
    tasks: TaskCounts
    partial: bool
    links: Links


class JobPage(TypedDict):
    """A page of jobs; ``next`` is the cursor of the following one, ``total`` is there if asked for."""

    items: list[JobSummary]
    next: str | None
    total: NotRequired[int]


class TaskPrimaries(TypedDict):
    """Primaries of a task."""

    requested: int
    simulated: int


class TaskView(TypedDict):
    """A task. ``seconds_left`` is its engine's estimate.

    ``number`` counts from 0; of a job on a cluster from 1, as in reports and in arrays of Slurm.
    """

    number: int
    state: TaskState
    primaries: TaskPrimaries
    started_at: Time | None
    ended_at: Time | None
    updated_at: Time | None
    seconds_left: float | None


class JobState(TypedDict):
    """The state of a job, and a sentence about it."""

    id: str
    state: State
    message: str


class TaskPage(TypedDict):
    """A page of tasks with the state of their job, from one snapshot."""

    job: JobState
    items: list[TaskView]
    next: str | None


class Inputs(TypedDict):
    """The input of a job: the files that its engine reads, and the project that they come from."""

    type: Literal["project", "files"]
    primaries: int
    files: dict[str, str]
    project: dict[str, Any] | None


class SubmittedJob(TypedDict):
    """A job that was accepted."""

    id: str


class CanceledJob(TypedDict):
    """A job after a request to cancel it; one that had ended before keeps its state."""

    id: str
    state: State


_SUMMARY: JobSummary = {
    "id": ID,
    "title": "150 MeV protons in water",
    "state": "RUNNING",
    "submitted_at": "2026-11-22T01:25:56.120Z",
    "ended_at": None,
    "platform": "DIRECT",
    "input_type": "project",
    "engine": "geant4",
    "engine_version": "11.4.1",
    "engine_asked_for": "geant4",
}
JOB = Body(
    JobView,
    {
        **_SUMMARY,
        "message": "Job state: RUNNING",
        "waiting": {
            "reason": None,
            "message": "",
            "tasks_ahead": None,
            "estimated_start_at": None,
            "estimated_end_at": "2026-11-22T01:27:10.000Z",
            "estimated_from": "this job",
        },
        "primaries": {"requested": 1000, "simulated": 620, "merged": None},
        "tasks": {
            "total": 4,
            "pending": 1,
            "running": 1,
            "completed": 2,
            "failed": 0,
            "canceled": 0,
        },
        "partial": False,
        "links": {
            "tasks": f"/v1/jobs/{ID}/tasks",
            "inputs": f"/v1/jobs/{ID}/inputs",
            "results": f"/v1/jobs/{ID}/results",
            "logs": f"/v1/jobs/{ID}/logs",
        },
    },
)
JOBS = Body(JobPage, {"items": [_SUMMARY], "next": "WzE3OTUzMTEyODY4MjYwMDAsIjIwMjYxMTIyIl0"})
_TASK: TaskView = {
    "number": 0,
    "state": "RUNNING",
    "primaries": {"requested": 250, "simulated": 120},
    "started_at": "2026-11-22T01:25:56.310Z",
    "ended_at": None,
    "updated_at": "2026-11-22T01:25:56.310Z",
    "seconds_left": 12.5,
}
TASK = Body(TaskView, _TASK)
TASKS = Body(
    TaskPage,
    {
        "job": {"id": ID, "state": "RUNNING", "message": "Job state: RUNNING"},
        "items": [
            _TASK,
        ],
        "next": None,
    },
)
INPUTS = Body(
    Inputs,
    {
        "type": "files",
        "primaries": 1000,
        "files": {"geometry.gdml": "<gdml/>", "run.mac": "/run/beamOn 1000\n"},
        "project": None,
    },
)
SUBMITTED = Body(SubmittedJob, {"id": ID})
CANCELED = Body(CanceledJob, {"id": ID, "state": "CANCELED"})


def input_type(kind: str) -> str:
    """Return our word for a kind of input; imported jobs may have others, or none."""
    return INPUT_TYPES.get(kind, "files")


def summary(job: ListedJob | JobHead) -> dict[str, Any]:
    """Return a job as lists show it."""
    return {
        "id": job.job_id,
        "title": job.title,
        "state": job.state,
        "submitted_at": iso_time(job.submitted_at),
        "ended_at": iso_time_or_none(job.ended_at),
        "platform": job.platform,
        "input_type": input_type(job.input_kind),
        "engine": job.engine,
        "engine_version": job.engine_version,
        "engine_asked_for": job.sim_type,
    }


async def job_view(
    job: JobHead, tasks: Sequence[TaskRow], live: LiveProgress, outlook: Outlook | None
) -> dict[str, Any]:
    """Return a job with the sums over its tasks, and why it waits."""
    states: Counter[str] = Counter()
    simulated = 0
    for task in tasks:
        if task.index % AT_A_TIME == AT_A_TIME - 1:
            await asyncio.sleep(0)  # let other requests in
        now = present(job, task, live)
        states[now.state] += 1
        simulated += now.simulated
    return {
        **summary(job),
        "message": describe(job, outlook.text if outlook else ""),
        "waiting": None if outlook is None else _waiting(outlook),
        "primaries": {
            "requested": job.primaries,
            "simulated": simulated,
            "merged": job.primaries_merged,
        },
        "tasks": counts(states),
        "partial": job.partial,
        "links": {
            "tasks": f"/v1/jobs/{job.job_id}/tasks",
            "inputs": f"/v1/jobs/{job.job_id}/inputs",
            "results": f"/v1/jobs/{job.job_id}/results",
            "logs": f"/v1/jobs/{job.job_id}/logs",
        },
    }


def counts(states: Counter[str]) -> TaskCounts:
    """Return tasks by state."""
    return {
        "total": states.total(),
        "pending": states["PENDING"],
        "running": states["RUNNING"],
        "completed": states["COMPLETED"],
        "failed": states["FAILED"],
        "canceled": states["CANCELED"],
    }


def _waiting(outlook: Outlook) -> dict[str, Any]:
    return {
        "reason": outlook.reason,
        "message": outlook.text,
        "tasks_ahead": outlook.tasks_ahead,
        "estimated_start_at": iso_time_or_none(outlook.estimated_start),
        "estimated_end_at": iso_time_or_none(outlook.estimated_end),
        "estimated_from": outlook.estimated_from,
    }


def task_view(job: JobHead, task: TaskRow, live: LiveProgress) -> dict[str, Any]:
    """Return a task."""
    now = present(job, task, live)
    return {
        "number": number_of(job, task),
        "state": now.state,
        "primaries": {"requested": task.requested, "simulated": now.simulated},
        "started_at": iso_time_or_none(task.started_at),
        "ended_at": iso_time_or_none(task.ended_at),
        "updated_at": iso_time_or_none(task.updated_at),
        "seconds_left": now.seconds_left,
    }
