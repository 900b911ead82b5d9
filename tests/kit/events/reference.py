"""The job that runs with and without disturbance, and the checks of its outcome."""

from __future__ import annotations

from typing import Any

from kit.events.chosen import Place, chosen_id, successes
from kit.inputs.projects import submission
from kit.running.clients.visitor import Visitor

JOBS = 10
TASKS = 4
PRIMARIES = 2400
SECONDS = 2.5
"""Rough duration of the job on two cores, in seconds: the span of random moments."""


def body_of() -> dict[str, Any]:
    """Return the submit body."""
    return submission(PRIMARIES, TASKS)


def survived(place: Place, visitor: Visitor, number: int, undisturbed: dict[int, bytes]) -> None:
    """Check: completed, every task counted once, same bytes as an undisturbed run."""
    job = chosen_id(number)
    shown = visitor.until(job, "COMPLETED")
    tasks = shown["job_tasks_status"]
    assert [task["task_state"] for task in tasks] == ["COMPLETED"] * TASKS
    assert sum(task["simulated_primaries"] for task in tasks) == PRIMARIES
    assert successes(place, job) == dict.fromkeys(range(TASKS), 1)
    assert visitor.results(job) == undisturbed[number]
