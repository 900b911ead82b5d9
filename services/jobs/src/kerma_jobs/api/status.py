"""Jobs and tasks as status answers show them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kerma_common.http.answers import http_date
from kerma_jobs.app.ports import LiveProgress
from kerma_jobs.domain.state import BATCH, TERMINAL
from kerma_jobs.read.queries import AT_A_TIME, JobHead, JobQueries, TaskRow, number_of

KEPT_BYTES = 32 << 20
"""Bytes of task lists that a process keeps."""
_UNSETTLED = frozenset({"PENDING", "RUNNING"})


@dataclass(slots=True)
class TaskLists:
    """Task lists of status answers as JSON, kept for as long as the rows have the same version.

    The version is read from the database for every answer, so no answer is older than the rows.
    """

    queries: JobQueries
    live: LiveProgress
    _kept: OrderedDict[str, tuple[str, bytes]] = field(default_factory=OrderedDict, init=False)
    _size: int = field(default=0, init=False)

    async def read(self, job_id: str, user_id: str) -> tuple[JobHead | None, bytes]:
        """Return a job and its task list, which is not rendered for others than the owner."""
        if job_id in self._kept:
            job = await self.queries.head(job_id)
            version, shown = self._kept.get(job_id, ("", b""))
            if job is not None and job.version == version:
                self._kept.move_to_end(job_id)
                return job, shown
        found = await self.queries.status(job_id)
        if found is None:
            self._drop(job_id)
            return None, b""
        job, tasks = found
        if job.owner != user_id:
            return job, b""
        rendered = await render_tasks(job, tasks, self.live)
        shown = orjson.dumps(rendered, option=orjson.OPT_SORT_KEYS)
        # Progress of running tasks changes without another version of the rows.
        reported = job.platform == BATCH and job.state not in TERMINAL
        if reported or any(task["task_state"] == "RUNNING" for task in rendered):
            self._drop(job_id)
        else:
            self._keep(job, shown)
        return job, shown

    def rests(self, job: JobHead) -> bool:
        """Return whether no task of a job that was just read is running."""
        kept = self._kept.get(job.job_id)
        return kept is not None and kept[0] == job.version

    def _keep(self, job: JobHead, shown: bytes) -> None:
        self._drop(job.job_id)
        self._kept[job.job_id] = (job.version, shown)
        self._size += len(shown)
        while self._size > KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, job_id: str) -> None:
        _, shown = self._kept.pop(job_id, ("", b""))
        self._size -= len(shown)


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
    now = present(job, task, live)
    shown: dict[str, Any] = {
        "task_id": number_of(job, task),
        "task_state": now.state,
        "requested_primaries": task.requested,
        "simulated_primaries": now.simulated,
        "last_update_time": http_date(task.updated_at or job.submitted_at),
    }
    if task.started_at is not None:
        shown["start_time"] = http_date(task.started_at)
    if task.ended_at is not None:
        shown["end_time"] = http_date(task.ended_at)
    elif job.tasks_ended_at is not None and now.state not in _UNSETTLED:
        # it has not told its end, and perhaps not its start
        shown["end_time"] = http_date(job.tasks_ended_at)
        shown.setdefault("start_time", shown["end_time"])
    if now.seconds_left is not None:
        shown["estimated_time"] = _duration(now.seconds_left)
    return shown


@dataclass(frozen=True, slots=True)
class TaskNow:
    """A task as clients see it now, with what its worker reports."""

    state: str
    simulated: int
    seconds_left: float | None = None


def present(job: JobHead, task: TaskRow, live: LiveProgress) -> TaskNow:
    """Return what clients see of a task; the only place that decides it."""
    state = _shown(job, task.state)
    if job.platform == BATCH:
        open_ = task.ended_at is None and state in _UNSETTLED
        # as reports of an end do; one that told none counts with its output, which is merged
        untold = state == "COMPLETED" and task.ended_at is None
        simulated = task.requested if untold else task.simulated
        return TaskNow(state, simulated, task.eta_seconds if open_ else None)
    if task.ended_at is None and state == "RUNNING":
        progress = live.of(job.job_id, task.index, task.lease)
        if progress:
            simulated = min(max(progress[0], task.simulated), task.requested)
            return TaskNow(state, simulated, progress[1])
    return TaskNow(state, task.simulated)


def _shown(job: JobHead, task_state: str) -> str:
    """Return a task state that fits the job's: clients keep the last state of a job for ever."""
    job_state = job.state
    if job.tasks_ended_at is not None and task_state in _UNSETTLED:
        return "COMPLETED"  # the cluster merges its output, though it has not reported its end
    if job_state in ("CANCELED", "FAILED") and task_state in _UNSETTLED:
        return "CANCELED"
    if job_state == "COMPLETED" and task_state == "CANCELED":
        # stopped and collected: clients poll any other state for ever
        return "FAILED"
    return task_state


def _duration(seconds: float) -> dict[str, int]:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return {"hours": hours, "minutes": minutes, "seconds": rest}


def describe(job: JobHead, waits: str = "") -> str:
    """Describe the job's state in one sentence, with the engine if it is not the one asked for.

    ``waits`` says why it is not running.
    """
    stand_in = job.engine != job.sim_type
    instead = f"; {job.engine} runs it in place of {job.sim_type}" if stand_in else ""
    if job.state == "FAILED" and job.failure:
        return f"Job failed: {job.failure}{instead}"
    if job.state == "COMPLETED" and job.partial:
        why = f"; a task failed: {job.failure}" if job.failure else ""
        return (
            f"Job completed with {job.tasks_merged} tasks; the results rest on "
            f"{job.primaries_merged} of {job.primaries} primaries{instead}{why}"
        )
    if waits:
        return f"Job state: {job.state}; {waits}{instead}"
    if job.state == "PENDING" and not job.offered:
        return f"Job state: PENDING; no worker offers {job.engine} now{instead}"
    return f"Job state: {job.state}{instead}"
