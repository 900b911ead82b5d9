"""Bodies of the reports of scripts, for the OpenAPI document; `report_fields` checks them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from kerma_common.http.refusals.statuses import Body
from kerma_jobs.api import report_fields as fields
from kerma_jobs.app.submission import MAX_TASKS
from kerma_jobs.domain.batch import JOB_STATES, TASK_STATES


def _state(known: Collection[str]) -> Any:
    return Field(json_schema_extra={"enum": ["", *sorted(known)]})


def _ascii(pattern: re.Pattern[str]) -> str:
    # elsewhere \d may be a digit of any script
    return pattern.pattern.replace(r"\d", "[0-9]")


def _text(pattern: re.Pattern[str], most: int) -> Any:
    return Field(pattern=f"^(?:{_ascii(pattern)})?$", max_length=most)


_EXACT = ConfigDict(extra="forbid")
_TaskState = Annotated[str, _state(TASK_STATES)]
_JobState = Annotated[str, _state(JOB_STATES)]
_Time = Annotated[str, _text(fields.TIME, 26)]
_Folder = Annotated[str, _text(fields.FOLDER, fields.LONGEST_FOLDER)]
_Count = Annotated[int, Field(ge=0, le=fields.MOST_PRIMARIES)]
_Seconds = Annotated[float, Field(ge=0, le=fields.LONGEST_SECONDS)]
_LogName = Annotated[str, Field(max_length=fields.MOST_LOG_NAME)]
_Log = Annotated[dict[_LogName, Any], Field(max_length=fields.MOST_LOGS)]
_Number = (
    Annotated[int, Field(ge=1, le=MAX_TASKS)]
    | Annotated[str, Field(pattern=f"^{_ascii(fields.NUMBER)}$")]
)


class TaskProgress(TypedDict):
    """What a script says of a task; null, 0 and empty texts say nothing. Times are UTC."""

    task_state: NotRequired[_TaskState | None]
    requested_primaries: NotRequired[_Count | None]
    simulated_primaries: NotRequired[_Count | None]
    estimated_time: NotRequired[_Seconds | None]
    start_time: NotRequired[_Time | None]
    end_time: NotRequired[_Time | None]


class ReportOnTask(TypedDict):
    """The body of ``POST /tasks``; tasks count from 1."""

    __pydantic_config__ = _EXACT  # type: ignore[misc]  # pydantic reads it from a TypedDict

    simulation_id: int
    update_key: str
    task_id: _Number
    update_dict: TaskProgress


class TaskOfMany(TypedDict):
    """A task of ``POST /tasks/bulk``; a number that the job does not have is skipped."""

    __pydantic_config__ = _EXACT  # type: ignore[misc]  # pydantic reads it from a TypedDict

    task_id: _Number
    update_dict: TaskProgress


class ReportOnTasks(TypedDict):
    """The body of ``POST /tasks/bulk``."""

    __pydantic_config__ = _EXACT  # type: ignore[misc]  # pydantic reads it from a TypedDict

    simulation_id: int
    update_key: str
    tasks: Annotated[list[TaskOfMany], Field(max_length=MAX_TASKS)]


class ReportOnJob(TypedDict):
    """The body of ``POST /jobs``; null, 0 and empty texts say nothing. Times are UTC."""

    sim_id: int
    update_key: str
    job_state: NotRequired[_JobState | None]
    end_time: NotRequired[_Time | None]
    job_dir: NotRequired[_Folder | None]
    array_id: NotRequired[_Count | None]
    collect_id: NotRequired[_Count | None]
    log: NotRequired[_Log | None]


_KEY = {"simulation_id": 4, "update_key": "<key>"}
_STARTED = {
    "task_state": "RUNNING",
    "requested_primaries": 250,
    "start_time": "2026-11-22 01:25:56.120000",
}
_ENDED = {
    "task_state": "COMPLETED",
    "simulated_primaries": 250,
    "end_time": "2026-11-22 01:31:02.530000",
}
TASK = Body(ReportOnTask, {**_KEY, "task_id": 1, "update_dict": _STARTED})
TASKS = Body(
    ReportOnTasks,
    {
        **_KEY,
        "tasks": [
            {"task_id": 1, "update_dict": _ENDED},
            {"task_id": "2", "update_dict": {"simulated_primaries": 120, "estimated_time": 42}},
        ],
    },
)
JOB = Body(
    ReportOnJob,
    {
        "sim_id": 4,
        "update_key": "<key>",
        "job_state": "RUNNING",
        "job_dir": "/scratch/ada/run-4",
        "array_id": 1201,
        "collect_id": 1202,
        "log": {"submit.log": "Submitted batch job 1201"},
    },
)
