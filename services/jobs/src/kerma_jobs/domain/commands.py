"""Commands of the job aggregate. They carry their ids and times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kerma_common.contracts.events.jobs import BatchPlan, JobImported
from kerma_common.contracts.imported import ImportedTask
from kerma_common.contracts.refs import Ref


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Accept a job whose input files are stored, and start it."""

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


@dataclass(frozen=True, slots=True)
class SettleTasks:
    """Settle a job: every task has ended.

    ``failed_tasks`` are the first failed indices, ``reason`` is the first cause, ``stored_bytes``
    counts outputs and logs of the tasks.
    """

    job_id: str
    succeeded: int
    failed: int
    canceled: int
    failed_tasks: tuple[int, ...]
    reason: str
    now: datetime
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CompleteJob:
    """Complete a job: its result set is published."""

    job_id: str
    tasks_merged: int
    primaries_merged: int
    partial: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class FailMerge:
    """Fail a job: its outputs cannot be merged."""

    job_id: str
    code: str
    message: str
    now: datetime


@dataclass(frozen=True, slots=True)
class EndOverdueJob:
    """Fail a job on a cluster that has not been heard of for too long.

    ``silent_since`` is None if its results are overdue. Otherwise nothing was reported since then;
    that this includes its progress is checked before. ``heard`` is how many events of reports the
    sender knows of, None if it has not counted them.
    """

    job_id: str
    code: str
    message: str
    now: datetime
    silent_since: datetime | None = None
    heard: int | None = None


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Cancel a job; with ``collect`` merge the tasks that succeeded."""

    job_id: str
    by: str
    collect: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class StopJob:
    """Stop a job that exceeds a limit, which ``code`` names."""

    job_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete an ended job and everything that belongs to it."""

    job_id: str
    by: str


@dataclass(frozen=True, slots=True)
class RevokeUpdateKeys:
    """Void the update keys of a job that were issued before ``now``."""

    job_id: str
    by: str
    now: datetime


@dataclass(frozen=True, slots=True)
class ImportTasks:
    """Take over some tasks of a job that another system ran; ``ImportJob`` follows."""

    job_id: str
    tasks: tuple[ImportedTask, ...]


@dataclass(frozen=True, slots=True)
class ImportJob:
    """Take over a job that another system ran, whose results are readable."""

    job: JobImported

    @property
    def job_id(self) -> str:
        """Return the id of the job."""
        return self.job.job_id


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What a script says of a task; None is what it says nothing about."""

    index: int
    state: str | None = None
    requested: int | None = None
    simulated: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReportTasks:
    """Take what scripts on a cluster say of tasks, under a key that was issued at ``issued_at``."""

    job_id: str
    tasks: tuple[TaskReport, ...]
    issued_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class ReportJob:
    """Take what scripts on a cluster say of the job, under a key of ``issued_at``."""

    job_id: str
    issued_at: datetime
    now: datetime
    state: str | None = None
    ended_at: datetime | None = None
    job_dir: str | None = None
    array_id: int | None = None
    collect_id: int | None = None
    log_ref: Ref | None = None
    log_text: str = ""


JobCommand = (
    SubmitJob
    | SettleTasks
    | CompleteJob
    | FailMerge
    | CancelJob
    | StopJob
    | DeleteJob
    | RevokeUpdateKeys
    | ImportTasks
    | ImportJob
    | ReportTasks
    | ReportJob
    | EndOverdueJob
)
