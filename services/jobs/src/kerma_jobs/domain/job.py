"""The job aggregate: which commands a job accepts in each phase.

::

    NEW -> RUNNING -> MERGING -> COMPLETED
             |           |--> FAILED
             |--> FAILED (too few tasks succeeded)
             |--> CANCELING -> CANCELED, or MERGING when the user asked to collect; from MERGING, a
             |    cancellation ends the job at once
             |--> STOPPING -> FAILED (a limit was exceeded)

Users see CANCELING without ``collect`` and STOPPING as ended. A deletion in these phases is carried out
with the end. A job that another system ran goes from NEW to its end at once. Jobs that run on a cluster
have rules of their own in ``batch``: RUNNING, MERGING and the ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from kerma_common.contracts.events import jobs as events
from kerma_common.contracts.ids import SEED_RULE, UNKNOWN_JOB
from kerma_common.domain import Aggregate, Missing, Rejected
from kerma_jobs.domain import batch, commands, ends
from kerma_jobs.domain.offers import ON_CLUSTER, POOL
from kerma_jobs.domain.state import BATCH, TERMINAL, Job, Phase, Reported, Settled

_ENDS = TERMINAL - {Phase.DELETED}

EXISTS = "JOB_EXISTS"
"""Code of the refusal to take over a job under the id of another one."""

JobEvent = (
    events.JobSubmitted
    | events.JobStarted
    | events.JobAllTasksSettled
    | events.JobMergeRequested
    | events.JobCompleted
    | events.JobFailed
    | events.JobCancellationRequested
    | events.JobLimitExceeded
    | events.JobCanceled
    | events.JobDeletionRequested
    | events.JobDeleted
    | events.UpdateKeysRevoked
    | events.JobTasksImported
    | events.JobImported
    | events.TasksReported
    | events.JobResultsAwaited
    | events.JobStateReported
    | events.JobArraysReported
    | events.JobLogReported
)


def decide(job: Job, command: commands.JobCommand) -> tuple[object, ...]:
    """Return the events of a command. Raises Rejected."""
    match command:
        case commands.SubmitJob():
            return _submit(job, command)
        case commands.SettleTasks():
            return _settle(job, command)
        case commands.CompleteJob():
            return _complete(job, command)
        case commands.FailMerge():
            return _fail_merge(job, command)
        case commands.CancelJob():
            return _cancel(job, command)
        case commands.StopJob():
            return _stop(job, command)
        case commands.DeleteJob():
            return _delete(job, command)
        case _:
            return _decide_further(job, command)


def _decide_further(
    job: Job,
    command: commands.RevokeUpdateKeys
    | commands.ImportTasks
    | commands.ImportJob
    | commands.ReportTasks
    | commands.ReportJob
    | commands.EndOverdueJob,
) -> tuple[object, ...]:
    match command:
        case commands.RevokeUpdateKeys():
            return _revoke(job, command)
        case commands.ImportTasks() | commands.ImportJob():
            return _import(job, command)
        case commands.ReportTasks():
            return batch.report_tasks(job, command)
        case commands.ReportJob():
            return batch.report_job(job, command)
        case commands.EndOverdueJob():
            return batch.end_overdue(job, command)
        case _:
            assert_never(command)


def _submit(job: Job, c: commands.SubmitJob) -> tuple[object, ...]:
    if job.phase is not Phase.NEW:
        return ()
    if not 1 <= c.n_tasks <= c.primaries:
        raise Rejected("TASKS", "a job needs at least one task and one primary per task")
    submitted = events.JobSubmitted(
        job_id=c.job_id,
        owner=c.owner,
        title=c.title,
        platform=c.platform,
        sim_type=c.sim_type,
        engine=c.engine,
        engine_version=c.engine_version,
        input_kind=c.input_kind,
        input_ref=c.input_ref,
        project_ref=c.project_ref,
        primaries=c.primaries,
        n_tasks=c.n_tasks,
        max_attempts=c.max_attempts,
        allow_partial=c.allow_partial,
        wait_for_engine=c.wait_for_engine,
        byte_limit=c.byte_limit,
        batch=c.batch,
    )
    started = events.JobStarted(
        job_id=c.job_id,
        owner=c.owner,
        engine=c.engine,
        input_ref=c.input_ref,
        primaries=c.primaries,
        n_tasks=c.n_tasks,
        max_attempts=c.max_attempts,
        placement=POOL if c.batch is None else ON_CLUSTER,
        seed_rule=SEED_RULE,
    )
    return (submitted, started)


def _settle(job: Job, c: commands.SettleTasks) -> tuple[object, ...]:
    open_ = (Phase.RUNNING, Phase.CANCELING, Phase.STOPPING)
    if job.phase not in open_ or job.settled is not None:
        return ()
    counts = Settled(c.succeeded, c.failed, c.canceled)
    settled = ends.settled(c.job_id, counts, c.reason, c.stored_bytes)
    if job.fault is not None:
        failed = ends.failed(c.job_id, *job.fault, c.now, c.failed_tasks)
        return (settled, failed, *_deletion(job, c.job_id))
    if job.phase is Phase.CANCELING and not (job.collect and c.succeeded):
        return (settled, ends.canceled(c.job_id, counts, c.now), *_deletion(job, c.job_id))
    if job.collect or c.succeeded == job.n_tasks or (c.succeeded and job.allow_partial):
        merge = events.JobMergeRequested(
            job_id=c.job_id,
            owner=job.owner,
            n_tasks=job.n_tasks,
            succeeded=c.succeeded,
            partial=c.succeeded < job.n_tasks,
        )
        return (settled, merge)
    summary = f"{c.failed} of {job.n_tasks} tasks failed: {c.reason}"
    return (settled, ends.failed(c.job_id, "TASKS_FAILED", summary, c.now, c.failed_tasks))


def _complete(job: Job, c: commands.CompleteJob) -> tuple[object, ...]:
    if job.reported is not None:
        return batch.complete(job, c)
    if job.phase is Phase.CANCELING and not job.collect and job.settled:
        return _canceled(job, job.settled, c)
    if job.phase not in (Phase.MERGING, Phase.CANCELING):
        return ()
    return (ends.completed(c),)


def _fail_merge(job: Job, c: commands.FailMerge) -> tuple[object, ...]:
    if job.phase is Phase.CANCELING and job.settled:
        return _canceled(job, job.settled, c)
    open_ = (Phase.MERGING,) if job.reported is None else (Phase.RUNNING, Phase.MERGING)
    if job.phase not in open_:
        return ()
    return (ends.failed(c.job_id, c.code, c.message, c.now),)


def _canceled(
    job: Job, counts: Settled, c: commands.CompleteJob | commands.FailMerge | commands.CancelJob
) -> tuple[object, ...]:
    """Return the end of a cancelled job whose tasks had all ended, and the deletion that waited."""
    return (ends.canceled(c.job_id, counts, c.now), *_deletion(job, c.job_id))


def _cancel(job: Job, c: commands.CancelJob) -> tuple[object, ...]:
    _must_exist(job)
    if job.phase in TERMINAL or job.phase is Phase.STOPPING:
        return ()
    if job.reported is not None:
        return batch.cancel(job, c)
    asked = job.phase is Phase.CANCELING
    requested = events.JobCancellationRequested(job_id=c.job_id, by=c.by, collect=c.collect)
    if job.settled and not (c.collect or (asked and job.collect)):
        # no task is left to stop; a former release let such a job wait for its merge
        ended = _canceled(job, job.settled, c)
        return ended if asked else (requested, *ended)
    return () if asked else (requested,)


def _stop(job: Job, c: commands.StopJob) -> tuple[object, ...]:
    if job.phase is not Phase.RUNNING:
        return ()
    return (events.JobLimitExceeded(job_id=c.job_id, code=c.code, summary=c.message[:1024]),)


def _delete(job: Job, c: commands.DeleteJob) -> tuple[object, ...]:
    if job.phase is Phase.NEW:
        raise Missing("UNKNOWN_JOB", UNKNOWN_JOB)
    if job.phase is Phase.DELETED or job.deletion is not None:
        return ()
    if job.phase in TERMINAL:
        return (events.JobDeleted(job_id=c.job_id, by=c.by, owner=job.owner),)
    if job.phase is Phase.STOPPING or (job.phase is Phase.CANCELING and not job.collect):
        # users see that it ended, though its last tasks are still stopping
        return (events.JobDeletionRequested(job_id=c.job_id, by=c.by, owner=job.owner),)
    raise Rejected("JOB_ACTIVE", "A job that has not ended cannot be deleted; cancel it first")


def _revoke(job: Job, c: commands.RevokeUpdateKeys) -> tuple[object, ...]:
    _must_exist(job)
    if job.keys_from is not None and job.keys_from >= c.now:
        return ()
    return (events.UpdateKeysRevoked(job_id=c.job_id, by=c.by, not_before=c.now),)


def _import(job: Job, c: commands.ImportTasks | commands.ImportJob) -> tuple[object, ...]:
    if job.phase is Phase.NEW:
        if isinstance(c, commands.ImportTasks):
            new = tuple(task for task in c.tasks if task.number not in job.imported)
            return (events.JobTasksImported(job_id=c.job_id, tasks=new),) if new else ()
        if c.job.state not in _ENDS:
            raise Rejected("JOB_ACTIVE", "Only a job that has ended can be taken over")
        return (c.job,)
    if not job.origin:
        raise Rejected(EXISTS, "This system has a job with this id")
    return ()


def _must_exist(job: Job) -> None:
    if job.phase in (Phase.NEW, Phase.DELETED) or job.deletion is not None:
        raise Missing("UNKNOWN_JOB", UNKNOWN_JOB)


def _deletion(job: Job, job_id: str) -> tuple[object, ...]:
    """Return the deletion that waited for the end of the job."""
    if job.deletion is None:
        return ()
    return (events.JobDeleted(job_id=job_id, by=job.deletion, owner=job.owner),)


def evolve(job: Job, event: JobEvent) -> Job:
    """Return the state after an event."""
    match event:
        case events.JobSubmitted():
            return Job(
                Phase.RUNNING,
                event.owner,
                event.n_tasks,
                event.allow_partial,
                primaries=event.primaries,
                reported=Reported() if event.platform == BATCH else None,
            )
        case events.JobStarted():
            return job
        case events.JobAllTasksSettled():
            return replace(job, settled=Settled(event.succeeded, event.failed, event.canceled))
        case events.JobCancellationRequested():
            return replace(job, phase=Phase.CANCELING, collect=event.collect)
        case events.JobLimitExceeded():
            return replace(job, phase=Phase.STOPPING, fault=(event.code, event.summary))
        case (
            events.JobMergeRequested()
            | events.JobCompleted()
            | events.JobFailed()
            | events.JobCanceled()
        ):
            return replace(job, phase=_entered(event))
        case events.JobDeletionRequested() | events.JobDeleted():
            return _vanished(job, event)
        case events.UpdateKeysRevoked():
            return replace(job, keys_from=event.not_before)
        case events.JobTasksImported() | events.JobImported():
            return _imported(job, event)
        case _:
            return batch.evolve(job, event)


def _imported(job: Job, event: events.JobTasksImported | events.JobImported) -> Job:
    if isinstance(event, events.JobTasksImported):
        return replace(job, imported=job.imported | {task.number for task in event.tasks})
    return Job(Phase(event.state), event.owner, event.n_tasks, origin=event.origin)


def _vanished(job: Job, event: events.JobDeletionRequested | events.JobDeleted) -> Job:
    if isinstance(event, events.JobDeleted):
        return replace(job, phase=Phase.DELETED)
    return replace(job, deletion=event.by)


def _entered(
    event: events.JobMergeRequested | events.JobCompleted | events.JobFailed | events.JobCanceled,
) -> Phase:
    match event:
        case events.JobMergeRequested():
            return Phase.MERGING
        case events.JobCompleted():
            return Phase.COMPLETED
        case events.JobFailed():
            return Phase.FAILED
        case events.JobCanceled():
            return Phase.CANCELED
        case _:
            assert_never(event)


JOB = Aggregate[Job]("jobs", "job", Job(), decide, evolve)
