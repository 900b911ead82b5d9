"""Jobs and tasks as status answers show them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from kerma_common.http.answers import http_date
from kerma_jobs.app.ports import LiveProgress
from kerma_jobs.read.queries import AT_A_TIME, JobHead, TaskRow

_UNSETTLED = frozenset({"PENDING", "RUNNING"})


async def render_tasks(
    job: JobHead, tasks: Sequence[TaskRow], live: LiveProgress
) -> list[dict[str, Any]]:
    """Return the task list of a status answer, ordered by task number."""
    shown = []
    for task in tasks:
        if task.index % AT_A_TIME == AT_A_TIME - 1:
            await asyncio.sleep(0)
        shown.append(_task(job, task, live))
    return shown


def _task(job: JobHead, task: TaskRow, live: LiveProgress) -> dict[str, Any]:
    state = _shown(job.state, task.state)
    shown: dict[str, Any] = {
        "task_id": task.index,
        "task_state": state,
        "requested_primaries": task.requested,
        "simulated_primaries": task.simulated,
        "last_update_time": http_date(task.updated_at),
    }
    if task.started_at is not None:
        shown["start_time"] = http_date(task.started_at)
    if task.ended_at is not None:
        shown["end_time"] = http_date(task.ended_at)
    elif state == "RUNNING" and (told := live.of(job.job_id, task.index, task.lease)):
        shown["simulated_primaries"] = min(max(told[0], task.simulated), task.requested)
        if told[1] is not None:
            shown["estimated_time"] = _duration(told[1])
    return shown


def _shown(job_state: str, task_state: str) -> str:
    """Return a task state that fits the job's: clients keep the last state of a job for ever."""
    if job_state == "CANCELED" and task_state in _UNSETTLED:
        return "CANCELED"
    if job_state == "COMPLETED" and task_state == "CANCELED":
        # stopped and collected: clients poll any other state for ever
        return "FAILED"
    return task_state


def _duration(seconds: float) -> dict[str, int]:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return {"hours": hours, "minutes": minutes, "seconds": rest}


def describe(job: JobHead) -> str:
    """Describe the job's state in one sentence, with the engine if it is not the one asked for."""
    stand_in = job.engine != job.sim_type
    instead = f"; {job.engine} runs it in place of {job.sim_type}" if stand_in else ""
    if job.state == "FAILED" and job.failure:
        return f"Job failed: {job.failure}{instead}"
    if job.state == "COMPLETED" and job.partial:
        return (
            f"Job completed with {job.tasks_merged} tasks; the results rest on "
            f"{job.primaries_merged} of {job.primaries} primaries{instead}"
        )
    if job.state == "PENDING" and not job.offered:
        return f"Job state: PENDING; no worker offers {job.engine} now{instead}"
    return f"Job state: {job.state}{instead}"
