"""Rules of the result set: given events, when a command, then events."""

from __future__ import annotations

import pytest

from kerma_common.contracts.events.results import (
    EstimatorMaterialised,
    MergeStarted,
    ResultSetCompleted,
    ResultSetDeleted,
    ResultSetFailed,
    ResultSetImported,
    ResultSetOpened,
    ResultSetPublished,
)
from kerma_common.contracts.pages import PageMaterialised
from kerma_common.contracts.refs import Ref
from kerma_common.domain import Rejected
from kerma_results.domain import commands
from kerma_results.domain import result_set as rs

JOB = "20260801-101500-00000000-0000-0000-0000-000000000000DIRECT"
REF = Ref("00", 1)
PAGE = PageMaterialised(0, "DOSE", "Gy", 1, (4,), REF, REF, 1, 2)
OPENED = ResultSetOpened(job_id=JOB, owner="u", tasks=3, expected=4, partial=True)
STARTED = MergeStarted(job_id=JOB, attempt=1)
STORED = EstimatorMaterialised(
    job_id=JOB, index=0, name="z", metadata_ref=REF, pages=(PAGE,), manifest_ref=None
)
LISTED = EstimatorMaterialised(
    job_id=JOB, index=0, name="z", metadata_ref=REF, pages=(), manifest_ref=REF
)
COMPLETED = ResultSetCompleted(
    job_id=JOB, estimators=1, tasks_merged=3, primaries_merged=30, partial=True
)
PUBLISHED = ResultSetPublished(job_id=JOB, tasks_merged=3, primaries_merged=30, partial=True)
FAILED = ResultSetFailed(job_id=JOB, code="X", message="m")
DELETED = ResultSetDeleted(job_id=JOB)

OPEN = commands.OpenResultSet(JOB, "u", 3, 4, True)
MATERIALISE = commands.MaterialiseEstimator(0, "z", REF, (PAGE,))
LIST = commands.MaterialiseEstimator(0, "z", REF, (), REF)
COMPLETE = commands.CompleteMerge(3, 30)
FAIL = commands.FailMerge("X", "m")
IMPORTED = ResultSetImported(job_id=JOB, owner="u", estimators=1, tasks=3, expected=4, partial=True)
IMPORT_SOME = commands.ImportEstimators(JOB, (MATERIALISE,))
IMPORT = commands.ImportResultSet(JOB, "u", (MATERIALISE,), 3, 4, True)
MERGING = (OPENED, STARTED)
DONE = (*MERGING, STORED, COMPLETED)


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        ((), OPEN, (OPENED,)),
        ((OPENED,), OPEN, ()),
        ((OPENED, DELETED), OPEN, ()),
        ((OPENED,), commands.StartMerge(1), (STARTED,)),
        (MERGING, commands.StartMerge(1), ()),
        (MERGING, commands.StartMerge(2), (MergeStarted(job_id=JOB, attempt=2),)),
        (MERGING, MATERIALISE, (STORED,)),
        ((*MERGING, STORED), MATERIALISE, ()),
        (DONE, MATERIALISE, ()),
        (MERGING, LIST, (LISTED,)),
        ((*MERGING, STORED), LIST, (LISTED,)),
        ((*MERGING, LISTED), LIST, ()),
        ((*MERGING, STORED), COMPLETE, (COMPLETED,)),
        (DONE, COMPLETE, ()),
        (DONE, FAIL, ()),
        (MERGING, FAIL, (FAILED,)),
        ((OPENED, FAILED), FAIL, ()),
        (DONE, commands.PublishResultSet(), (PUBLISHED,)),
        ((*DONE, PUBLISHED), commands.PublishResultSet(), ()),
        ((), commands.DeleteResultSet(JOB), ()),
        ((*DONE, PUBLISHED), commands.DeleteResultSet(JOB), (DELETED,)),
        ((OPENED, DELETED), commands.DeleteResultSet(JOB), ()),
        ((), IMPORT_SOME, (STORED,)),
        ((), IMPORT, (STORED, IMPORTED)),
        ((STORED,), IMPORT, (IMPORTED,)),
        ((STORED, IMPORTED), IMPORT_SOME, ()),
        ((STORED, IMPORTED), OPEN, ()),
        ((STORED, IMPORTED, DELETED), IMPORT, ()),
        ((STORED, IMPORTED), commands.DeleteResultSet(JOB), (DELETED,)),
    ],
)
def test_decisions(given: tuple[object, ...], when: object, then: tuple[object, ...]) -> None:
    state = rs.RESULT_SET.fold(rs.RESULT_SET.initial, given)
    assert rs.RESULT_SET.decide(state, when) == then
    assert rs.RESULT_SET.decide(rs.RESULT_SET.fold(state, then), when) == ()


@pytest.mark.parametrize(
    ("given", "when", "code"),
    [
        ((), commands.OpenResultSet(JOB, "u", 0, 4, True), "NOTHING_TO_MERGE"),
        ((), commands.StartMerge(1), "NONE"),
        ((OPENED, FAILED), commands.StartMerge(2), "FAILED"),
        ((*MERGING, DELETED), MATERIALISE, "DELETED"),
        ((OPENED,), COMPLETE, "OPEN"),
        ((*DONE, DELETED), commands.PublishResultSet(), "DELETED"),
        (MERGING, commands.PublishResultSet(), "MERGING"),
    ],
)
def test_refusals(given: tuple[object, ...], when: object, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        rs.RESULT_SET.decide(rs.RESULT_SET.fold(rs.RESULT_SET.initial, given), when)
    assert refused.value.code == code


def test_a_fourth_attempt_is_the_end() -> None:
    third = (*MERGING, MergeStarted(job_id=JOB, attempt=3))
    (event,) = rs.RESULT_SET.decide(
        rs.RESULT_SET.fold(rs.RESULT_SET.initial, third), commands.StartMerge(4)
    )
    assert isinstance(event, ResultSetFailed)
    assert event.code == "MERGE_ABANDONED"


def test_what_is_no_command_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        rs.RESULT_SET.decide(rs.ResultSet(), "merge")
