"""Rules of jobs that run on a cluster: what scripts there report, and how it ends the job.

Reports may come more than once, late and out of order. What is known only moves on: a task from
PENDING over RUNNING to its end, the job from PENDING over RUNNING and MERGING to its end; numbers
grow, times are set once. What changes nothing yields no event. A job that completed or failed accepts reports without effect, a
cancelled or deleted one refuses them.

Once the cluster merges the outputs, or all tasks have ended, no task changes any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import assert_never

from kerma_common.contracts.events import jobs as events
from kerma_common.contracts.ids import UNKNOWN_JOB, share_of_primaries
from kerma_common.domain import Missing, Rejected
from kerma_jobs.domain import commands, ends
from kerma_jobs.domain.state import Arrays, Job, KnownTask, Phase, Reported, Settled

ENDS = frozenset({"COMPLETED", "FAILED", "CANCELED"})
"""States in which a task stays."""
TASK_STATES = frozenset({"PENDING", "RUNNING"}) | ENDS
JOB_STATES = frozenset({"UNKNOWN", "MERGING_QUEUED", "MERGING_RUNNING"}) | TASK_STATES
_RANKS = {"PENDING": 0, "RUNNING": 1, "MERGING_QUEUED": 2, "MERGING_RUNNING": 3}
FAILED_TASKS_NAMED = 20
MOST_ARRAYS = 16
"""Places on the cluster that a job may be reported to run at, one after the other."""
MOST_LOGS = 100
"""Logs of reports that a job keeps; no more are shown."""

CANCELED, REVOKED, NOT_BATCH = "JOB_CANCELED", "KEY_REVOKED", "NOT_A_BATCH_JOB"


def report_tasks(job: Job, c: commands.ReportTasks) -> tuple[object, ...]:
    """Return what a report on tasks changes. Raises Rejected."""
    known = _reportable(job, c)
    if job.phase is not Phase.RUNNING:
        return ()
    changes = tuple(_changes(job, known, c))
    if not changes:
        return ()
    reported = events.TasksReported(job_id=c.job_id, tasks=changes)
    after = with_tasks(known, reported)
    ended = after.counts.succeeded + after.counts.failed + after.counts.canceled
    if ended < job.n_tasks:
        return (reported,)
    return (reported, *_settled(job, after, c))


def _reportable(job: Job, c: commands.ReportTasks | commands.ReportJob) -> Reported:
    """Return what is known of a job that accepts reports under this key. Raises Rejected."""
    if job.phase in (Phase.NEW, Phase.DELETED):
        raise Missing("UNKNOWN_JOB", UNKNOWN_JOB)
    if job.reported is None:
        raise Rejected(NOT_BATCH, "Kerma's own workers report on this job")
    if job.keys_from is not None and c.issued_at < job.keys_from:
        raise Rejected(REVOKED, "The key was revoked")
    repeated = isinstance(c, commands.ReportJob) and c.state == "CANCELED"
    if job.phase in (Phase.CANCELED, Phase.CANCELING) and not repeated:
        raise Rejected(CANCELED, "The job is cancelled")
    return job.reported


def _changes(job: Job, known: Reported, c: commands.ReportTasks) -> Iterator[events.ReportedTask]:
    tasks: dict[int, KnownTask] = {}
    for report in c.tasks:
        if not 0 <= report.index < job.n_tasks:
            continue
        task = tasks.get(report.index) or known.tasks.get(report.index) or KnownTask()
        if task.state not in ENDS and (change := _change(job, task, report, c)) is not None:
            tasks[report.index] = _with_change(task, change)
            yield change


def _change(
    job: Job, task: KnownTask, report: commands.TaskReport, c: commands.ReportTasks
) -> events.ReportedTask | None:
    """Return what a report says that was not known of a task that has not ended."""
    state = report.state if report.state in ENDS else ""
    if report.state == "RUNNING" and task.state == "PENDING":
        state = "RUNNING"
    share = share_of_primaries(job.primaries, job.n_tasks, report.index)
    expected = task.requested or share
    # once: every change is an event
    new = task.requested is None and (report.requested or 0) > expected
    requested = report.requested if new else None
    started_at = None if task.started else report.started_at
    ended_at = None if task.ended else report.ended_at
    if state and not task.started:
        started_at = started_at or c.now
    if state in ENDS and not task.ended:
        ended_at = ended_at or c.now
    if not state and requested is None and started_at is None and ended_at is None:
        return None
    simulated = None
    if state in ENDS:
        done = requested or expected
        simulated = done if state == "COMPLETED" else min(report.simulated or 0, done)
    return events.ReportedTask(
        index=report.index,
        state=state,
        requested=requested,
        simulated=simulated,
        started_at=started_at,
        ended_at=ended_at,
    )


def _with_change(task: KnownTask, change: events.ReportedTask) -> KnownTask:
    return KnownTask(
        change.state or task.state,
        task.requested if change.requested is None else change.requested,
        task.started or change.started_at is not None,
        task.ended or change.ended_at is not None,
    )


def _settled(job: Job, after: Reported, c: commands.ReportTasks) -> tuple[object, ...]:
    """Return how the job goes on when its last task has ended."""
    failed = [index for index, task in sorted(after.tasks.items()) if task.state == "FAILED"]
    counts = after.counts
    reason = f"task {failed[0] + 1} failed on the cluster" if failed else ""
    settled = ends.settled(c.job_id, counts, reason)
    if counts.succeeded:
        return (settled, events.JobResultsAwaited(job_id=c.job_id))
    summary = f"{counts.failed} of {job.n_tasks} tasks failed on the cluster"
    if counts.canceled:
        summary += f", {counts.canceled} were cancelled there"
    named = tuple(failed[:FAILED_TASKS_NAMED])
    return (settled, ends.failed(c.job_id, "TASKS_FAILED", summary, c.now, named))


def report_job(job: Job, c: commands.ReportJob) -> tuple[object, ...]:
    """Return what a report on the job itself changes. Raises Rejected."""
    known = _reportable(job, c)
    made: list[object] = []
    arrays = Arrays(
        c.job_dir or known.arrays.job_dir,
        c.array_id or known.arrays.array_id,
        c.collect_id or known.arrays.collect_id,
    )
    # a repetition that comes late does not go back to an earlier place
    if arrays != known.arrays and arrays not in known.told and len(known.told) < MOST_ARRAYS:
        made.append(
            events.JobArraysReported(
                job_id=c.job_id,
                job_dir=arrays.job_dir,
                array_id=arrays.array_id,
                collect_id=arrays.collect_id,
            )
        )
    new = c.log_ref is not None and c.log_ref.sha256 not in known.logs
    if c.log_ref is not None and new and len(known.logs) < MOST_LOGS:
        made.append(events.JobLogReported(job_id=c.job_id, log_ref=c.log_ref))
    if job.phase in (Phase.RUNNING, Phase.MERGING):
        made += _moved_on(job, known, c)
    return tuple(made)


def keeps_log(job: Job, c: commands.ReportJob) -> bool:
    """Return whether the log of a report would be kept: its blob is stored before."""
    try:
        return len(_reportable(job, c).logs) < MOST_LOGS
    except Rejected:
        return False


def _moved_on(job: Job, known: Reported, c: commands.ReportJob) -> Iterator[object]:
    match c.state:
        case "FAILED":
            summary = c.log_text or "The cluster reports that the job failed"
            yield ends.failed(c.job_id, "REPORTED", summary, c.ended_at or c.now)
        case "CANCELED":
            yield _canceled(job, known, c.job_id, c.ended_at or c.now)
        case "RUNNING" if known.shown == "PENDING":
            yield events.JobStateReported(job_id=c.job_id, state="RUNNING")
        case "MERGING_QUEUED" | "MERGING_RUNNING" | "COMPLETED":
            # a job completes with its results: a report alone shows none
            if job.phase is Phase.RUNNING:
                yield events.JobResultsAwaited(job_id=c.job_id)
            if c.state != "MERGING_QUEUED" and known.shown != "MERGING_RUNNING":
                yield events.JobStateReported(job_id=c.job_id, state="MERGING_RUNNING")


def _canceled(job: Job, known: Reported, job_id: str, at: datetime) -> events.JobCanceled:
    """Return the end of a cancelled job: the tasks that have not ended end with it."""
    rest = job.n_tasks - known.counts.succeeded - known.counts.failed
    return ends.canceled(job_id, replace(known.counts, canceled=rest), at)


def complete(job: Job, c: commands.CompleteJob) -> tuple[object, ...]:
    """Return the end of a job whose results are published, whatever its tasks reported."""
    if job.phase not in (Phase.RUNNING, Phase.MERGING):
        return ()
    known = job.reported or Reported()
    lost = [index for index, task in known.tasks.items() if task.state in ("FAILED", "CANCELED")]
    if len(lost) == job.n_tasks:
        lost = []  # there are results, so these reports cannot be true
    share = sum(share_of_primaries(job.primaries, job.n_tasks, index) for index in lost)
    completed = ends.completed(c, lost=len(lost), lost_primaries=share)
    awaited = events.JobResultsAwaited(job_id=c.job_id)
    return (completed,) if job.phase is Phase.MERGING else (awaited, completed)


def end_overdue(job: Job, c: commands.EndOverdueJob) -> tuple[object, ...]:
    """Return the end of a job that is not heard of, if it is still where it was.

    Whoever sends the command may not have read the latest reports yet.
    """
    waits = Phase.MERGING if c.silent_since is None else Phase.RUNNING
    if job.reported is None or job.phase is not waits:
        return ()
    if c.heard is not None and c.heard != job.reported.heard:
        return ()
    return (ends.failed(c.job_id, c.code, c.message, c.now),)


def cancel(job: Job, c: commands.CancelJob) -> tuple[object, ...]:
    """Return the cancellation of a job: nothing of it runs here, so it ends at once."""
    assert job.reported is not None
    requested = events.JobCancellationRequested(job_id=c.job_id, by=c.by, collect=False)
    return (requested, _canceled(job, job.reported, c.job_id, c.now))


def with_tasks(known: Reported, event: events.TasksReported) -> Reported:
    """Return what is known after a report on tasks."""
    tasks = dict(known.tasks)
    ends = dict.fromkeys(ENDS, 0)
    for change in event.tasks:
        tasks[change.index] = _with_change(tasks.get(change.index, KnownTask()), change)
        if change.state in ENDS:
            ends[change.state] += 1
    counts = Settled(
        known.counts.succeeded + ends["COMPLETED"],
        known.counts.failed + ends["FAILED"],
        known.counts.canceled + ends["CANCELED"],
    )
    running = any(change.state for change in event.tasks) and known.shown == "PENDING"
    return replace(
        known,
        tasks=MappingProxyType(tasks),
        counts=counts,
        shown="RUNNING" if running else known.shown,
    )


def with_state(known: Reported, state: str) -> Reported:
    """Return what is known once the job is reported to be in a state."""
    return replace(known, shown=max(known.shown, state, key=_RANKS.__getitem__))


def evolve(
    job: Job,
    event: events.TasksReported
    | events.JobResultsAwaited
    | events.JobStateReported
    | events.JobArraysReported
    | events.JobLogReported,
) -> Job:
    """Return the state after an event of a job on a cluster."""
    known = job.reported or Reported()
    known = replace(known, heard=known.heard + 1)
    match event:
        case events.TasksReported():
            return replace(job, reported=with_tasks(known, event))
        case events.JobResultsAwaited():
            merging = with_state(known, "MERGING_QUEUED")
            return replace(job, phase=Phase.MERGING, reported=merging)
        case events.JobStateReported():
            return replace(job, reported=with_state(known, event.state))
        case events.JobArraysReported():
            arrays = Arrays(event.job_dir, event.array_id, event.collect_id)
            places = replace(known, arrays=arrays, told=known.told | {arrays})
            return replace(job, reported=places)
        case events.JobLogReported():
            return replace(job, reported=replace(known, logs=known.logs | {event.log_ref.sha256}))
        case _:
            assert_never(event)
