"""Row operations of events, and commands that follow from a job's events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kerma_common.contracts.events import jobs, results, runner
from kerma_common.contracts.pages import PageMaterialised
from kerma_common.contracts.refs import Ref
from kerma_common.projection.router import At
from kerma_common.projection.rows.ops import Delete, Op, Update, Upsert
from kerma_results.app.supply import MergeSupply
from kerma_results.domain.commands import DeleteResultSet, OpenResultSet
from kerma_results.read import models
from kerma_results.read.project import RESULTS

JOB = "20260801-101500-00000000-0000-0000-0000-000000000000DIRECT"
NOW = datetime(2026, 8, 1, tzinfo=UTC)
REF, LOG = Ref("aa", 7, "x/y"), Ref("bb", 8, "x/log")
SUCCEEDED = runner.TaskSucceeded(
    job_id=JOB,
    index=3,
    lease=2,
    attempt=1,
    output_ref=REF,
    log_ref=None,
    primaries=9,
    cpu_seconds=1,
)
FAILED = runner.TaskFailed(
    job_id=JOB, index=3, lease=2, attempt=2, code="c", message="m", log_ref=LOG, final=False
)
PAGE = PageMaterialised(1, "DOSE", "Gy", 2, (4, 5), REF, LOG, 11, 12)
KEY = {"job_id": JOB}
CANCELED = jobs.JobCanceled(job_id=JOB, succeeded=1, failed=0, canceled=1, ended_at=NOW)
DELETED = jobs.JobDeleted(job_id=JOB, by="u")
REQUESTED = jobs.JobMergeRequested(job_id=JOB, owner="u", n_tasks=4, succeeded=3, partial=True)


def log_row(attempt: int, failed: bool, **why: str) -> Op:
    key = {**KEY, "index": 3, "attempt": attempt}
    row = {
        "failed": failed,
        "seq": 1,
        **why,
        "log_sha256": "bb",
        "log_size": 8,
        "log_media": "x/log",
    }
    return Upsert(models.TASK_LOG, key, row)


OUTPUT_ROW = Upsert(
    models.TASK_OUTPUT,
    {**KEY, "index": 3},
    {
        "lease": 2,
        "attempt": 1,
        "primaries": 9,
        "output_sha256": "aa",
        "output_size": 7,
        "output_media": "x/y",
    },
)
PAGE_ROW = Upsert(
    models.PAGE,
    {**KEY, "estimator": 5, "number": 1},
    {
        "name": "DOSE",
        "unit": "Gy",
        "dimension": 2,
        "shape": [4, 5],
        "array_sha256": "aa",
        "array_size": 7,
        "fragment_sha256": "bb",
        "fragment_size": 8,
        "crc32": 11,
        "raw_size": 12,
    },
)


@pytest.mark.parametrize(
    ("event", "operations"),
    [
        (SUCCEEDED, [OUTPUT_ROW]),
        (
            runner.TaskSucceeded(
                job_id=JOB,
                index=3,
                lease=2,
                attempt=1,
                output_ref=REF,
                log_ref=LOG,
                primaries=9,
                cpu_seconds=1,
            ),
            [OUTPUT_ROW, log_row(1, False)],
        ),
        (FAILED, [log_row(2, True, code="c", reason="m")]),
        (
            runner.TasksLost(job_id=JOB, tasks=(3,), reason="m"),
            [
                Upsert(
                    models.TASK_LOG,
                    {**KEY, "index": 3, "attempt": 0},
                    {"failed": True, "seq": 1, "code": "HISTORY_LOST", "reason": "m"},
                )
            ],
        ),
        (
            jobs.JobFailed(job_id=JOB, code="c", summary="m", failed_tasks=(), ended_at=NOW),
            [
                Update(
                    models.JOB_SOURCE, KEY, {"failure_code": "c", "failure": "m", "ended": "FAILED"}
                )
            ],
        ),
        (DELETED, [Update(models.JOB_SOURCE, KEY, {"deleted": True})]),
        (
            results.EstimatorMaterialised(
                job_id=JOB, index=5, name="z", metadata_ref=REF, pages=(PAGE,), manifest_ref=None
            ),
            [
                Upsert(
                    models.ESTIMATOR, {**KEY, "index": 5}, {"name": "z", "metadata_sha256": "aa"}
                ),
                Delete(models.PAGE, {**KEY, "estimator": 5}),
                PAGE_ROW,
            ],
        ),
        (
            results.MergeStarted(job_id=JOB, attempt=2),
            [Update(models.RESULT_SET, KEY, {"state": "MERGING", "attempt": 2})],
        ),
        (
            results.ResultSetPublished(
                job_id=JOB, tasks_merged=1, primaries_merged=2, partial=False
            ),
            [Update(models.RESULT_SET, KEY, {"published": True})],
        ),
        (REQUESTED, []),
    ],
)
def test_rows(event: object, operations: list[Op]) -> None:
    at = At("X", 1, "id", NOW, JOB, "a")
    assert list(RESULTS.project(event, at)) == operations


@pytest.mark.parametrize(
    ("event", "command"),
    [
        (REQUESTED, OpenResultSet(JOB, "u", 3, 4, True)),
        (CANCELED, DeleteResultSet(JOB)),
        (DELETED, DeleteResultSet(JOB)),
    ],
)
def test_what_follows(event: Any, command: object) -> None:
    supply = MergeSupply()
    assert supply.key(event) == JOB
    reaction = supply.handle(None, event, At("JOBS", 1, "id", NOW, JOB, "a"))
    assert (reaction.state, reaction.commands) == (None, (command,))
    assert type(command).__name__ in supply.command_types


def test_other_events_are_ignored() -> None:
    assert MergeSupply().key(SUCCEEDED) is None
