"""Projection ``jobs``: events of jobs, tasks and result sets become rows.

In: every event of the job aggregate, OwnerJobsDeleted; TaskStarted, TaskRequeued, TaskSucceeded, TaskFailed,
TaskCanceled, TasksCanceled, TasksLost, WorkerRegistered, WorkerRetired (runner); MergeStarted,
EstimatorMaterialised (results).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kerma_common.contracts.events import jobs, results, runner
from kerma_common.contracts.imported import ImportedTask
from kerma_common.contracts.refs import Ref
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.ops import Delete, Op, Series, Update, Upsert
from kerma_jobs.domain.offers import POOL
from kerma_jobs.read.models import DELETED, DELETION, ESTIMATOR, JOB, METADATA, OFFER, OWNER, TASK

JOBS = Projection("jobs", "jobs", ("JOBS", "RUNNER", "RESULTS"), METADATA, revision=12)


def _set_job(job_id: str, at: At, **values: object) -> Op:
    return Update(JOB, {"job_id": job_id}, {**values, "seq": at.seq})


def _set_task(
    event: runner.TaskStarted
    | runner.TaskRequeued
    | runner.TaskSucceeded
    | runner.TaskFailed
    | runner.TaskCanceled,
    at: At,
    **values: object,
) -> Iterator[Op]:
    key = {"job_id": event.job_id, "index": event.index}
    yield Upsert(TASK, key, {"updated_at": at.time, **values})
    yield _tasks_changed(event.job_id, at)


def _tasks_changed(job_id: str, at: At) -> Op:
    return Upsert(JOB, {"job_id": job_id}, {"tasks_seq": at.seq})


@JOBS.on(jobs.JobSubmitted)
def submitted(event: jobs.JobSubmitted, at: At) -> Iterator[Op]:
    """The job exists, and so do its tasks: those without a row have not been started."""
    yield Upsert(OWNER, {"owner": event.owner}, {"submitted_seq": at.seq})
    yield Upsert(
        JOB,
        {"job_id": event.job_id},
        {
            "owner": event.owner,
            "title": event.title,
            "platform": event.platform,
            "sim_type": event.sim_type,
            "engine": event.engine,
            "engine_version": event.engine_version,
            "input_kind": event.input_kind,
            "input_sha256": event.input_ref.sha256,
            "input_size": event.input_ref.size,
            "project_sha256": event.project_ref.sha256 if event.project_ref else None,
            "project_size": event.project_ref.size if event.project_ref else None,
            "primaries": event.primaries,
            "n_tasks": event.n_tasks,
            "state": "PENDING",
            "submitted_at": at.time,
            "seq": at.seq,
            "cluster_name": event.batch.cluster_name if event.batch else None,
        },
    )


@JOBS.on(jobs.JobAllTasksSettled)
def settled(event: jobs.JobAllTasksSettled, at: At) -> Iterator[Op]:
    """Store how the tasks ended, and why the first that failed did."""
    failure = event.reason or None
    yield _set_job(event.job_id, at, stored_bytes=event.stored_bytes, failure=failure)


@JOBS.on(jobs.JobMergeRequested)
def merge_requested(event: jobs.JobMergeRequested, at: At) -> Iterator[Op]:
    """The job waits for its results."""
    yield _set_job(event.job_id, at, state="MERGING_QUEUED")


@JOBS.on(jobs.TasksReported)
def tasks_reported(event: jobs.TasksReported, at: At) -> Iterator[Op]:
    """Store what is new of tasks on a cluster; the first that runs starts the job for its users."""
    for task in event.tasks:
        new = {
            "state": task.state or None,
            "requested": task.requested,
            "simulated": task.simulated,
            "started_at": task.started_at,
            "ended_at": task.ended_at,
        }
        values = {name: value for name, value in new.items() if value is not None}
        key = {"job_id": event.job_id, "index": task.index}
        yield Upsert(TASK, key, {"updated_at": at.time, **values})
    began = any(task.state for task in event.tasks)
    yield _set_job(event.job_id, at, **({"task_started_at": at.time} if began else {}))


@JOBS.on(jobs.JobResultsAwaited)
def results_awaited(event: jobs.JobResultsAwaited, at: At) -> Iterator[Op]:
    """The job waits for results from the cluster, and its tasks have ended."""
    yield _set_job(event.job_id, at, state="MERGING_QUEUED", tasks_ended_at=at.time)


@JOBS.on(jobs.JobStateReported)
def state_reported(event: jobs.JobStateReported, at: At) -> Iterator[Op]:
    """The job has come further on the cluster."""
    column = "task_started_at" if event.state == "RUNNING" else "merge_started_at"
    yield _set_job(event.job_id, at, **{column: at.time})


@JOBS.on(jobs.UpdateKeysRevoked)
def keys_revoked(event: jobs.UpdateKeysRevoked, at: At) -> Iterator[Op]:
    """Earlier update keys are void."""
    yield _set_job(event.job_id, at, keys_from=event.not_before)


@JOBS.on(jobs.JobCompleted)
def completed(event: jobs.JobCompleted, at: At) -> Iterator[Op]:
    """The results can be read."""
    yield _set_job(
        event.job_id,
        at,
        state="COMPLETED",
        ended_at=event.ended_at,
        partial=event.partial,
        tasks_merged=event.tasks_merged,
        primaries_merged=event.primaries_merged,
    )


@JOBS.on(jobs.JobFailed)
def failed(event: jobs.JobFailed, at: At) -> Iterator[Op]:
    """The job ended without results."""
    yield _set_job(event.job_id, at, state="FAILED", ended_at=event.ended_at, failure=event.summary)


@JOBS.on(jobs.JobCancellationRequested)
def cancellation_requested(event: jobs.JobCancellationRequested, at: At) -> Iterator[Op]:
    """Show the cancellation at once if it is final; a job that collects keeps its state."""
    if not event.collect:
        yield _set_job(event.job_id, at, state="CANCELED", ended_at=at.time)


@JOBS.on(jobs.JobLimitExceeded)
def limit_exceeded(event: jobs.JobLimitExceeded, at: At) -> Iterator[Op]:
    """Show the failure at once, though the last tasks are still stopping."""
    yield _set_job(event.job_id, at, state="FAILED", ended_at=at.time, failure=event.summary)


@JOBS.on(jobs.JobCanceled)
def canceled(event: jobs.JobCanceled, at: At) -> Iterator[Op]:
    """Every task has stopped."""
    yield _set_job(event.job_id, at, state="CANCELED", ended_at=event.ended_at)


@JOBS.on(jobs.JobDeletionRequested)
@JOBS.on(jobs.JobDeleted)
def deleted(event: jobs.JobDeletionRequested | jobs.JobDeleted, at: At) -> Iterator[Op]:
    """The owner does not see the job any more, even if its last tasks are still stopping.

    Events of such tasks make rows that nobody sees; the deletion itself removes them.
    """
    yield Upsert(DELETION, {"only": 0}, {"seq": at.seq})
    of = {"owner": event.owner or event.by, "seq": at.seq}
    yield Upsert(DELETED, {"job_id": event.job_id}, of)
    yield Delete(JOB, {"job_id": event.job_id})
    yield Delete(TASK, {"job_id": event.job_id})
    yield Delete(ESTIMATOR, {"job_id": event.job_id})


@JOBS.on(jobs.OwnerJobsDeleted)
def owner_jobs_deleted(event: jobs.OwnerJobsDeleted, at: At) -> Iterator[Op]:
    """Forget whose the deleted jobs were: the next user under this name has the same id."""
    yield Update(DELETED, {"owner": event.user_id}, {"owner": ""})


@JOBS.on(jobs.JobTasksImported)
def tasks_imported(event: jobs.JobTasksImported, at: At) -> Iterator[Op]:
    """Store the tasks; nobody sees them before the job."""
    yield from _imported_tasks(event.job_id, event.tasks)
    yield _tasks_changed(event.job_id, at)


@JOBS.on(jobs.JobImported)
def imported(event: jobs.JobImported, at: At) -> Iterator[Op]:
    """The job exists, and it has ended."""
    yield Upsert(OWNER, {"owner": event.owner}, {"submitted_seq": at.seq})
    values = {
        "owner": event.owner,
        "origin": event.origin,
        "title": event.title,
        "platform": event.platform,
        "sim_type": event.sim_type,
        "engine": event.sim_type,
        "input_kind": event.input_kind,
        "primaries": event.primaries,
        "n_tasks": event.n_tasks,
        "state": event.state,
        "submitted_at": event.submitted_at,
        "ended_at": event.ended_at,
        "partial": event.partial,
        "tasks_merged": event.tasks_merged,
        "primaries_merged": event.primaries_merged,
        "failure": event.failure or None,
        "stored_bytes": event.log_ref.size if event.log_ref else 0,
        "seq": at.seq,
        **_ref("input", event.input_ref),
        **_ref("project", event.project_ref),
    }
    yield Upsert(JOB, {"job_id": event.job_id}, values)
    yield from _imported_tasks(event.job_id, event.tasks)
    yield _tasks_changed(event.job_id, at)


def _ref(prefix: str, ref: Ref | None) -> dict[str, object]:
    return {f"{prefix}_sha256": ref.sha256, f"{prefix}_size": ref.size} if ref else {}


def _imported_tasks(job_id: str, tasks: Iterable[ImportedTask]) -> Iterator[Op]:
    for task in tasks:
        values = {
            "state": task.state,
            "requested": task.requested,
            "simulated": task.simulated,
            "started_at": task.started_at,
            "ended_at": task.ended_at,
            "updated_at": task.updated_at,
        }
        yield Upsert(TASK, {"job_id": job_id, "index": task.number}, values)


@JOBS.on(runner.TaskStarted)
def task_started(event: runner.TaskStarted, at: At) -> Iterator[Op]:
    """The task runs; the first one also starts the job for its users."""
    yield from _set_task(
        event, at, state="RUNNING", lease=event.lease, started_at=at.time, simulated=0
    )
    yield Upsert(JOB, {"job_id": event.job_id}, {"task_started_at": at.time})


@JOBS.on(runner.TaskRequeued)
def task_requeued(event: runner.TaskRequeued, at: At) -> Iterator[Op]:
    """The task waits for another attempt."""
    again = {"requeued": event.reason, "not_before": event.not_before}
    yield from _set_task(event, at, state="PENDING", simulated=0, **again)


@JOBS.on(runner.TaskSucceeded)
def task_succeeded(event: runner.TaskSucceeded, at: At) -> Iterator[Op]:
    """All primaries of the task are simulated."""
    yield from _set_task(
        event,
        at,
        state="COMPLETED",
        lease=event.lease,
        simulated=event.primaries,
        ended_at=at.time,
    )


@JOBS.on(runner.TaskFailed)
def task_failed(event: runner.TaskFailed, at: At) -> Iterator[Op]:
    """An attempt failed; the task fails with the last one."""
    if event.final:
        yield from _set_task(event, at, state="FAILED", ended_at=at.time, failure=event.message)


@JOBS.on(runner.TaskCanceled)
def task_canceled(event: runner.TaskCanceled, at: At) -> Iterator[Op]:
    """The task was cancelled before its end."""
    yield from _set_task(event, at, state="CANCELED", ended_at=at.time)


@JOBS.on(runner.TasksCanceled)
def tasks_canceled(event: runner.TasksCanceled, at: At) -> Iterator[Op]:
    """These tasks were cancelled before any of them started."""
    values = {"state": "CANCELED", "updated_at": at.time, "ended_at": at.time}
    for first, stop in event.tasks:
        yield Series(TASK, {"job_id": event.job_id}, "index", first, stop, values, replace=True)
    yield _tasks_changed(event.job_id, at)


@JOBS.on(runner.TasksLost)
def tasks_lost(event: runner.TasksLost, at: At) -> Iterator[Op]:
    """The history of these tasks cannot be read; users see the reason."""
    values = {"state": "FAILED", "updated_at": at.time, "ended_at": at.time}
    for index in event.tasks:
        key = {"job_id": event.job_id, "index": index}
        yield Upsert(TASK, key, {**values, "failure": event.reason})
    yield _tasks_changed(event.job_id, at)


@JOBS.on(results.MergeStarted)
def merge_started(event: results.MergeStarted, at: At) -> Iterator[Op]:
    """The results are being merged."""
    yield Upsert(
        JOB, {"job_id": event.job_id}, {"merge_started_at": at.time, "results_seq": at.seq}
    )


@JOBS.on(results.EstimatorMaterialised)
def materialised(event: results.EstimatorMaterialised, at: At) -> Iterator[Op]:
    """Store the merged pages; those of a repeated merge replace earlier ones."""
    key = {"job_id": event.job_id, "index": event.index}
    yield Upsert(ESTIMATOR, key, {"stored_bytes": event.stored_bytes})


@JOBS.on(runner.WorkerRegistered)
def registered(event: runner.WorkerRegistered, at: At) -> Iterator[Op]:
    """Jobs can ask for the worker's engines, if its pool takes jobs of users."""
    if event.resource_class == POOL:
        offer = {
            "engines": event.engines,
            "substitutes": event.substitutes,
            "slots": event.slots,
        }
        yield Upsert(OFFER, {"worker": event.worker}, offer)


@JOBS.on(runner.WorkerRetired)
def retired(event: runner.WorkerRetired, at: At) -> Iterator[Op]:
    """Delete what the worker offered."""
    yield Delete(OFFER, {"worker": event.worker})
