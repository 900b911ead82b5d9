"""Events of the jobs service: the life of a user's job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kerma_common.contracts.imported import ImportedTask
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.registry import event


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A cluster of the registry, and the blob of the options for its scheduler.

    The blob is a JSON object: ``array_options`` and ``collect_options`` map long names of options to
    values, ``array_header`` and ``collect_header`` are texts for the top of the scripts.
    """

    cluster: str
    cluster_name: str
    options_ref: Ref


@dataclass(frozen=True, slots=True)
class ReportedTask:
    """What a script on a cluster has newly reported of a task, whose number counts from 0.

    ``state`` is RUNNING, COMPLETED, FAILED or CANCELED, empty if it stays the same; None is what
    stays the same. ``simulated`` comes with an end.
    """

    index: int
    state: str = ""
    requested: int | None = None
    simulated: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@event("jobs", "job", public=True)
class JobSubmitted:
    """A job was accepted; its input files are stored and its tasks are fixed.

    ``input_ref`` holds the engine's input set, ``project_ref`` the editor project it came from.
    Primaries per task and seeds follow from ``primaries``, ``n_tasks`` and the job id by the rules
    in ``contracts.ids``. ``engine`` runs the job; it differs from ``sim_type``, the engine the user
    asked for, if it substitutes for that. With ``wait_for_engine``, the job was accepted
    even if no worker offered the engine yet. ``byte_limit`` bounds the bytes of all outputs and
    logs together; 0 is no limit. ``batch`` says where a job of platform BATCH runs.
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
    byte_limit: int = 0
    batch: BatchPlan | None = None


@event("jobs", "job", public=True)
class JobStarted:
    """The job's tasks may be queued. ``seed_rule`` is one of ``contracts.ids.task_seed``.

    ``placement`` is the class of the workers that take them, or ``batch``: then a cluster does.
    """

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
    """Every task has ended; ``stored_bytes`` are in its outputs and logs, 0 if not counted.

    ``reason`` says why the first of the failed tasks failed; empty if none did.
    """

    job_id: str
    succeeded: int
    failed: int
    canceled: int
    stored_bytes: int = 0
    reason: str = ""


@event("jobs", "job", public=True)
class JobMergeRequested:
    """The outputs of the succeeded tasks are ready to be merged into a result set."""

    job_id: str
    owner: str
    n_tasks: int
    succeeded: int
    partial: bool


@event("jobs", "job", public=True)
class TasksReported:
    """Scripts on a cluster have told of these tasks."""

    job_id: str
    tasks: tuple[ReportedTask, ...]


@event("jobs", "job", public=True)
class JobResultsAwaited:
    """Every task on the cluster has ended, even one that has not reported so: results are to come."""

    job_id: str


@event("jobs", "job")
class JobStateReported:
    """Scripts on a cluster have told that the job is RUNNING or MERGING_RUNNING."""

    job_id: str
    state: str


@event("jobs", "job", public=True)
class JobArraysReported:
    """Scripts on a cluster have told where the job runs there: its folder, and two arrays."""

    job_id: str
    job_dir: str | None
    array_id: int | None
    collect_id: int | None


@event("jobs", "job", public=True)
class JobLogReported:
    """Scripts on a cluster have sent a log; the blob is a JSON object of texts by name."""

    job_id: str
    log_ref: Ref


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
    """The user wants the job to stop; with ``collect``, succeeded tasks are still merged."""

    job_id: str
    by: str
    collect: bool


@event("jobs", "job", public=True)
class JobLimitExceeded:
    """The job exceeds a limit: its tasks stop, and it fails once they have."""

    job_id: str
    code: str
    summary: str


@event("jobs", "job", public=True)
class JobCanceled:
    """Every task has stopped after a cancellation."""

    job_id: str
    succeeded: int
    failed: int
    canceled: int
    ended_at: datetime


@event("jobs", "job", public=True)
class JobDeletionRequested:
    """The owner does not see the job any more; it is deleted once its tasks have stopped."""

    job_id: str
    by: str
    owner: str


@event("jobs", "job", public=True)
class JobDeleted:
    """The job and all its data are gone for its owner; an empty ``owner`` is the same as ``by``."""

    job_id: str
    by: str
    owner: str = ""


@event("jobs", "job", public=True)
class UpdateKeysRevoked:
    """Update keys of the job that were issued before ``not_before`` are void."""

    job_id: str
    by: str
    not_before: datetime


@event("jobs", "job")
class JobTasksImported:
    """Another system ran these tasks of a job; users see them once ``JobImported`` follows."""

    job_id: str
    tasks: tuple[ImportedTask, ...]


@event("jobs", "job", public=True)
class JobImported:
    """A job that the system ``origin`` ran belongs to a user here, in the final ``state``.

    Its results, if it has any, can be read. ``failure`` says why it has none, where that is known.
    ``input_ref`` holds its input files and ``project_ref`` its editor project, if they were kept,
    ``log_ref`` its logs as a JSON object of texts by name. ``tasks`` are those that no
    ``JobTasksImported`` before holds. Numbers and times are those of ``origin``.
    """

    job_id: str
    owner: str
    origin: str
    title: str
    platform: str
    sim_type: str
    input_kind: str
    input_ref: Ref | None
    project_ref: Ref | None
    log_ref: Ref | None
    primaries: int
    n_tasks: int
    tasks: tuple[ImportedTask, ...]
    state: str
    failure: str
    submitted_at: datetime
    ended_at: datetime | None
    partial: bool
    tasks_merged: int | None
    primaries_merged: int | None


@event("jobs", "owner", public=True)
class OwnerJobsDeleted:
    """All jobs of a removed user are deleted, or will be when their last tasks have stopped.

    ``removal`` is that of ``UserRemovalStarted``.
    """

    user_id: str
    removal: str
