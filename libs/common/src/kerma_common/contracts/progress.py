"""Progress of running tasks, outside the log: the last message counts, and any may be lost."""

from __future__ import annotations

from dataclasses import dataclass

from kerma_common.contracts.limits import Amount, Id, Moment, Number, Seconds


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """Primaries simulated so far under one lease; ``eta_seconds`` is None if unknown."""

    job_id: Id
    index: Number
    lease: Number
    primaries: Amount
    eta_seconds: Seconds | None
    at: Moment


def progress_subject(job_id: str, index: int) -> str:
    """Return the subject of a task's progress."""
    return f"tele.task.{job_id}.{index}"


ALL_PROGRESS = "tele.task.>"
