"""Projection ``results``: outputs and logs of tasks, and the state of result sets.

In: JobSubmitted, JobImported, JobCancellationRequested, JobCanceled, JobFailed, JobLimitExceeded,
JobDeletionRequested, JobDeleted, JobLogReported, UpdateKeysRevoked (jobs); TaskSucceeded, TaskFailed, TasksLost
(runner); every event of the result set that changes what users see; LogReceived. The causal barrier
ensures that JobMergeRequested comes after the outputs it refers to.
"""

from __future__ import annotations

from collections.abc import Iterator

from kerma_common.contracts.events import jobs, results, runner
from kerma_common.contracts.refs import Ref
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.ops import Delete, Op, Update, Upsert
from kerma_results.read.models import (
    DELIVERED_LOG,
    ESTIMATOR,
    ESTIMATOR_METADATA,
    JOB_SOURCE,
    METADATA,
    PAGE,
    PAGE_FRAGMENT,
    REPORTED_LOG,
    RESULT_SET,
    TASK_LOG,
    TASK_OUTPUT,
)

RESULTS = Projection("results", "results", ("JOBS", "RUNNER", "RESULTS"), METADATA, revision=6)

LOST_HISTORY = "HISTORY_LOST"
"""Code of tasks of which no readable event says how they ended."""


def _ref(prefix: str, ref: Ref) -> dict[str, object]:
    return {
        f"{prefix}_sha256": ref.sha256,
        f"{prefix}_size": ref.size,
        f"{prefix}_media": ref.media,
    }


@RESULTS.on(jobs.JobSubmitted)
def submitted(event: jobs.JobSubmitted, at: At) -> Iterator[Op]:
    """Store the owner of the job and the inputs that its outputs are read with."""
    yield Upsert(
        JOB_SOURCE,
        {"job_id": event.job_id},
        {
            "owner": event.owner,
            "engine": event.engine,
            "platform": event.platform,
            "n_tasks": event.n_tasks,
            "primaries": event.primaries,
            **_ref("input", event.input_ref),
        },
    )


@RESULTS.on(jobs.JobImported)
def job_imported(event: jobs.JobImported, at: At) -> Iterator[Op]:
    """Store the owner, the logs, and why it has no results, if that is known."""
    values = _ref("log", event.log_ref) if event.log_ref is not None else {}
    if event.failure:
        values |= {"failure_code": "NOT_ENDED", "failure": event.failure}
    yield Upsert(JOB_SOURCE, {"job_id": event.job_id}, {**_imported(event.owner), **values})


def _imported(owner: str) -> dict[str, object]:
    """Return the source of a job that another system ran: nothing is merged from its inputs."""
    return {
        "owner": owner,
        "engine": "",
        "platform": "",
        "n_tasks": 0,
        "primaries": 0,
        **_ref("input", Ref("", 0, "")),
    }


@RESULTS.on(jobs.JobCancellationRequested)
def canceling(event: jobs.JobCancellationRequested, at: At) -> Iterator[Op]:
    """Results are refused from here on, unless the user wants those that there are."""
    if not event.collect:
        yield Update(JOB_SOURCE, {"job_id": event.job_id}, {"ended": "CANCELED"})


@RESULTS.on(jobs.JobCanceled)
def canceled(event: jobs.JobCanceled, at: At) -> Iterator[Op]:
    """Results are refused from here on."""
    yield Update(JOB_SOURCE, {"job_id": event.job_id}, {"ended": "CANCELED"})


@RESULTS.on(jobs.JobFailed)
@RESULTS.on(jobs.JobLimitExceeded)
def job_failed(event: jobs.JobFailed | jobs.JobLimitExceeded, at: At) -> Iterator[Op]:
    """Store why the job failed; its log files begin with that. Results are refused from here on."""
    why = {"failure_code": event.code, "failure": event.summary, "ended": "FAILED"}
    yield Update(JOB_SOURCE, {"job_id": event.job_id}, why)


@RESULTS.on(jobs.JobLogReported)
def log_reported(event: jobs.JobLogReported, at: At) -> Iterator[Op]:
    """Store a log that came with a report on the job."""
    key = {"job_id": event.job_id, "seq": at.seq}
    yield Upsert(REPORTED_LOG, key, _ref("log", event.log_ref))


@RESULTS.on(jobs.UpdateKeysRevoked)
def keys_revoked(event: jobs.UpdateKeysRevoked, at: At) -> Iterator[Op]:
    """Earlier keys of the job are void."""
    yield Update(JOB_SOURCE, {"job_id": event.job_id}, {"keys_from": event.not_before})


@RESULTS.on(jobs.JobDeletionRequested)
@RESULTS.on(jobs.JobDeleted)
def job_deleted(event: jobs.JobDeletionRequested | jobs.JobDeleted, at: At) -> Iterator[Op]:
    """Mark the job deleted; the row stays, because rows of its tasks may come later."""
    yield Update(JOB_SOURCE, {"job_id": event.job_id}, {"deleted": True})


@RESULTS.on(runner.TaskSucceeded)
def succeeded(event: runner.TaskSucceeded, at: At) -> Iterator[Op]:
    """Store the output to merge, and the log if one was kept."""
    yield Upsert(
        TASK_OUTPUT,
        {"job_id": event.job_id, "index": event.index},
        {
            "lease": event.lease,
            "attempt": event.attempt,
            "primaries": event.primaries,
            **_ref("output", event.output_ref),
        },
    )
    if event.log_ref is not None:
        yield _attempt(event, at, failed=False, log=event.log_ref)


@RESULTS.on(runner.TaskFailed)
def failed(event: runner.TaskFailed, at: At) -> Iterator[Op]:
    """Store why the attempt failed, and its log if one was kept."""
    why = {"code": event.code, "reason": event.message}
    yield _attempt(event, at, failed=True, log=event.log_ref, **why)


@RESULTS.on(runner.TasksLost)
def lost(event: runner.TasksLost, at: At) -> Iterator[Op]:
    """Store why these tasks count as failed."""
    for index in event.tasks:
        key = {"job_id": event.job_id, "index": index, "attempt": 0}
        why = {"code": LOST_HISTORY, "reason": event.reason}
        yield Upsert(TASK_LOG, key, {"failed": True, "seq": at.seq, **why})


def _attempt(
    event: runner.TaskSucceeded | runner.TaskFailed,
    at: At,
    *,
    failed: bool,
    log: Ref | None,
    **why: object,
) -> Op:
    key = {"job_id": event.job_id, "index": event.index, "attempt": event.attempt}
    kept = _ref("log", log) if log is not None else {}
    return Upsert(TASK_LOG, key, {"failed": failed, "seq": at.seq, **why, **kept})


def _set(job_id: str, **values: object) -> Op:
    return Update(RESULT_SET, {"job_id": job_id}, values)


@RESULTS.on(results.ResultSetOpened)
def opened(event: results.ResultSetOpened, at: At) -> Iterator[Op]:
    """The result set waits to be merged."""
    yield Upsert(
        RESULT_SET,
        {"job_id": event.job_id},
        {
            "state": "OPEN",
            "tasks": event.tasks,
            "expected": event.expected,
            "partial": event.partial,
        },
    )


@RESULTS.on(results.ResultsReceived)
def received(event: results.ResultsReceived, at: At) -> Iterator[Op]:
    """Delivered results: the same commit completes the result set."""
    yield Upsert(
        RESULT_SET,
        {"job_id": event.job_id},
        {"state": "OPEN", "tasks": event.tasks, "expected": event.tasks, "partial": False},
    )


@RESULTS.on(results.LogReceived)
def log_received(event: results.LogReceived, at: At) -> Iterator[Op]:
    """Store a delivered log."""
    key = {"job_id": event.job_id, "number": event.number}
    yield Upsert(DELIVERED_LOG, key, _ref("log", event.log_ref))


@RESULTS.on(results.MergeStarted)
def merge_started(event: results.MergeStarted, at: At) -> Iterator[Op]:
    """An attempt runs."""
    yield _set(event.job_id, state="MERGING", attempt=event.attempt)


@RESULTS.on(results.EstimatorMaterialised)
def materialised(event: results.EstimatorMaterialised, at: At) -> Iterator[Op]:
    """Replace the pages of an estimator that an earlier attempt stored."""
    yield Upsert(
        ESTIMATOR,
        {"job_id": event.job_id, "index": event.index},
        {"name": event.name, "metadata_sha256": event.metadata_ref.sha256},
    )
    yield Delete(PAGE, {"job_id": event.job_id, "estimator": event.index})
    for page in event.pages:
        yield Upsert(
            PAGE,
            {"job_id": event.job_id, "estimator": event.index, "number": page.number},
            {
                "name": page.name,
                "unit": page.unit,
                "dimension": page.dimension,
                "shape": list(page.shape),
                "array_sha256": page.array_ref.sha256,
                "array_size": page.array_ref.size,
                "fragment_sha256": page.fragment_ref.sha256,
                "fragment_size": page.fragment_ref.size,
                "crc32": page.crc32,
                "raw_size": page.raw_size,
            },
        )


@RESULTS.on(results.ResultSetCompleted)
def completed(event: results.ResultSetCompleted, at: At) -> Iterator[Op]:
    """Users can read the pages from here on."""
    yield _set(event.job_id, state="COMPLETE")


@RESULTS.on(results.ResultSetFailed)
def merge_failed(event: results.ResultSetFailed, at: At) -> Iterator[Op]:
    """The result set failed."""
    yield _set(event.job_id, state="FAILED")


@RESULTS.on(results.ResultSetPublished)
def published(event: results.ResultSetPublished, at: At) -> Iterator[Op]:
    """The result set is finished."""
    yield _set(event.job_id, published=True)


@RESULTS.on(results.ResultSetImported)
def imported(event: results.ResultSetImported, at: At) -> Iterator[Op]:
    """The pages are there; their owner can read them as soon as the job is shown."""
    yield Upsert(JOB_SOURCE, {"job_id": event.job_id}, _imported(event.owner))
    values = {
        "state": "COMPLETE",
        "tasks": event.tasks,
        "expected": event.expected,
        "partial": event.partial,
        "published": True,
    }
    yield Upsert(RESULT_SET, {"job_id": event.job_id}, values)


@RESULTS.on(results.ResultSetDeleted)
def deleted(event: results.ResultSetDeleted, at: At) -> Iterator[Op]:
    """Delete all rows of the results."""
    for table in (RESULT_SET, ESTIMATOR, PAGE, ESTIMATOR_METADATA, PAGE_FRAGMENT):
        yield Delete(table, {"job_id": event.job_id})
