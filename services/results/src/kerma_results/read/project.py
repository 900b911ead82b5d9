"""Projection ``results``: what tasks left behind, and what became of it.

In: JobSubmitted, JobDeleted (jobs); TaskSucceeded, TaskFailed (runner); every event of the result
set. That JobMergeRequested comes after the outputs it speaks of is kept by the causal barrier.
"""

from __future__ import annotations

from collections.abc import Iterator

from kerma_common.contracts import jobs, results, runner
from kerma_common.contracts.refs import Ref
from kerma_common.projection.ops import Delete, Op, Update, Upsert
from kerma_common.projection.router import At, Projection
from kerma_results.read.models import (
    ESTIMATOR,
    ESTIMATOR_METADATA,
    JOB_SOURCE,
    METADATA,
    PAGE,
    PAGE_FRAGMENT,
    RESULT_SET,
    TASK_LOG,
    TASK_OUTPUT,
)

RESULTS = Projection("results", "results", ("JOBS", "RUNNER", "RESULTS"), METADATA)


def _ref(prefix: str, ref: Ref) -> dict[str, object]:
    return {
        f"{prefix}_sha256": ref.sha256,
        f"{prefix}_size": ref.size,
        f"{prefix}_media": ref.media,
    }


@RESULTS.on(jobs.JobSubmitted)
def submitted(event: jobs.JobSubmitted, at: At) -> Iterator[Op]:  # noqa: ARG001
    """Whose job it is and which inputs its outputs are read with."""
    yield Upsert(
        JOB_SOURCE,
        {"job_id": event.job_id},
        {"owner": event.owner, "engine": event.engine, **_ref("input", event.input_ref)},
    )


@RESULTS.on(jobs.JobDeleted)
def job_deleted(event: jobs.JobDeleted, at: At) -> Iterator[Op]:  # noqa: ARG001
    """Gone for its owner; the row stays, so that rows of tasks need not be in time for it."""
    yield Update(JOB_SOURCE, {"job_id": event.job_id}, {"deleted": True})


@RESULTS.on(runner.TaskSucceeded)
def succeeded(event: runner.TaskSucceeded, at: At) -> Iterator[Op]:  # noqa: ARG001
    """The output to merge, and a log if one was kept."""
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
    yield from _log(event, failed=False)


@RESULTS.on(runner.TaskFailed)
def failed(event: runner.TaskFailed, at: At) -> Iterator[Op]:  # noqa: ARG001
    """What the attempt left to read."""
    yield from _log(event, failed=True)


def _log(event: runner.TaskSucceeded | runner.TaskFailed, *, failed: bool) -> Iterator[Op]:
    if event.log_ref is not None:
        key = {"job_id": event.job_id, "index": event.index, "attempt": event.attempt}
        yield Upsert(TASK_LOG, key, {"failed": failed, **_ref("log", event.log_ref)})


def _set(job_id: str, **values: object) -> Op:
    return Update(RESULT_SET, {"job_id": job_id}, values)


@RESULTS.on(results.ResultSetOpened)
def opened(event: results.ResultSetOpened, at: At) -> Iterator[Op]:  # noqa: ARG001
    """Work for the merge."""
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


@RESULTS.on(results.MergeStarted)
def merge_started(event: results.MergeStarted, at: At) -> Iterator[Op]:  # noqa: ARG001
    """An attempt runs."""
    yield _set(event.job_id, state="MERGING", attempt=event.attempt)


@RESULTS.on(results.EstimatorMaterialised)
def materialised(event: results.EstimatorMaterialised, at: At) -> Iterator[Op]:  # noqa: ARG001
    """The pages of an estimator, instead of those of an earlier attempt."""
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
def completed(event: results.ResultSetCompleted, at: At) -> Iterator[Op]:  # noqa: ARG001
    """From here on users can read the pages."""
    yield _set(event.job_id, state="COMPLETE")


@RESULTS.on(results.ResultSetFailed)
def merge_failed(event: results.ResultSetFailed, at: At) -> Iterator[Op]:  # noqa: ARG001
    """There will be no results."""
    yield _set(event.job_id, state="FAILED")


@RESULTS.on(results.ResultSetPublished)
def published(event: results.ResultSetPublished, at: At) -> Iterator[Op]:  # noqa: ARG001
    """Nothing is left to do."""
    yield _set(event.job_id, published=True)


@RESULTS.on(results.ResultSetDeleted)
def deleted(event: results.ResultSetDeleted, at: At) -> Iterator[Op]:  # noqa: ARG001
    """No trace of the results is left in the rows."""
    for table in (RESULT_SET, ESTIMATOR, PAGE, ESTIMATOR_METADATA, PAGE_FRAGMENT):
        yield Delete(table, {"job_id": event.job_id})
