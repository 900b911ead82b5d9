"""Events of the jobs service: the user's job and its life story."""

from __future__ import annotations

from datetime import datetime

from kerma_common.contracts.refs import Ref
from kerma_common.contracts.registry import event


@event("jobs", "job", public=True)
class JobSubmitted:
    """A job was accepted; its input files are stored and its tasks are decided.

    ``input_ref`` holds the engine's input set, ``project_ref`` the editor project it came from.
    Primaries per task and seeds follow from ``primaries``, ``n_tasks`` and the job id by the
    rules in ``contracts.ids``. ``engine`` runs the job; it differs from ``sim_type``, what the
    user asked for, when it stands in for that. ``wait_for_engine``: nobody needs to offer it yet.
    """

    job_id: str
    owner: str
    title: str
    platform: str
    sim_type: str
    engine: str
    engine_version: str
    input_kind: str
    input_ref: Ref
    project_ref: Ref | None
    primaries: int
    n_tasks: int
    max_attempts: int
    allow_partial: bool
    wait_for_engine: bool = False


@event("jobs", "job", public=True)
class JobStarted:
    """The job's tasks may be queued. ``seed_rule`` is one of ``contracts.ids.task_seed``."""

    job_id: str
    owner: str
    engine: str
    input_ref: Ref
    primaries: int
    n_tasks: int
    max_attempts: int
    placement: str
    seed_rule: int = 1


@event("jobs", "job")
class JobAllTasksSettled:
    """Every task reached an end; ``stored_bytes`` are in its outputs and logs, 0 if not counted."""

    job_id: str
    succeeded: int
    failed: int
    canceled: int
    stored_bytes: int = 0


@event("jobs", "job", public=True)
class JobMergeRequested:
    """The outputs of the succeeded tasks are to become a result set."""

    job_id: str
    owner: str
    n_tasks: int
    succeeded: int
    partial: bool


@event("jobs", "job", public=True)
class JobCompleted:
    """The results can be read."""

    job_id: str
    tasks_merged: int
    primaries_merged: int
    partial: bool
    ended_at: datetime


@event("jobs", "job", public=True)
class JobFailed:
    """The job ended without results."""

    job_id: str
    code: str
    summary: str
    failed_tasks: tuple[int, ...]
    ended_at: datetime


@event("jobs", "job", public=True)
class JobCancellationRequested:
    """The user wants the job to stop; with ``collect`` what succeeded is still merged."""

    job_id: str
    by: str
    collect: bool


@event("jobs", "job", public=True)
class JobCanceled:
    """Every task has stopped after a cancellation."""

    job_id: str
    succeeded: int
    failed: int
    canceled: int
    ended_at: datetime


@event("jobs", "job", public=True)
class JobDeleted:
    """The job and all that belongs to it is gone for its owner."""

    job_id: str
    by: str
