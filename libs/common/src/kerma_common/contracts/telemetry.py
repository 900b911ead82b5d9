"""What is told but not recorded: progress of running tasks. Last value only, may be lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """Primaries simulated so far under one lease; ``eta_seconds`` None when unknown."""

    job_id: str
    index: int
    lease: int
    primaries: int
    eta_seconds: float | None
    at: datetime


def progress_subject(job_id: str, index: int) -> str:
    """Where a task's progress is published."""
    return f"tele.task.{job_id}.{index}"


ALL_PROGRESS = "tele.task.>"
