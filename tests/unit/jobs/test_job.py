"""The rules of a job, as given / when / then."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_common.contracts.events import jobs as events
from kerma_common.contracts.imported import ImportedTask
from kerma_common.contracts.refs import Ref
from kerma_common.domain import Rejected
from kerma_jobs.domain.commands import (
    CancelJob,
    CompleteJob,
    DeleteJob,
    FailMerge,
    ImportJob,
    ImportTasks,
    RevokeUpdateKeys,
    SettleTasks,
    StopJob,
    SubmitJob,
)
from kerma_jobs.domain.job import JOB
from kerma_jobs.domain.state import TERMINAL, Job, Phase, Settled

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
JOB_ID = "20261122-120000-00000000-0000-0000-0000-000000000000DIRECT"
SUBMIT = SubmitJob(
    job_id=JOB_ID,
    owner="u1",
    title="t",
    platform="DIRECT",
    sim_type="geant4",
    engine="geant4",
    engine_version="11.4",
    input_kind="EDITOR",
    input_ref=Ref("00", 1),
    project_ref=Ref("11", 1),
    primaries=100,
    n_tasks=4,
    max_attempts=3,
    allow_partial=True,
)
CANCEL = CancelJob(JOB_ID, "u1", collect=False, now=NOW)
COLLECT = CancelJob(JOB_ID, "u1", collect=True, now=NOW)
COMPLETE = CompleteJob(JOB_ID, 4, 100, partial=False, now=NOW)
FAIL_MERGE = FailMerge(JOB_ID, "BROKEN", "broken output", NOW)
DELETE = DeleteJob(JOB_ID, "u1")
REVOKE = RevokeUpdateKeys(JOB_ID, "operator", NOW)
CANCELED = ["JobAllTasksSettled", "JobCanceled"]
FAILED = ["JobAllTasksSettled", "JobFailed"]
STOP = StopJob(JOB_ID, "JOB_BYTES_LIMIT", "too many bytes")

TASKS = (ImportedTask(1, "COMPLETED", 6, 6, NOW, NOW, NOW),)
IMPORTED = events.JobImported(
    job_id=JOB_ID,
    owner="u1",
    origin="yaptide",
    title="t",
    platform="BATCH",
    sim_type="fluka",
    input_kind="FILES",
    input_ref=None,
    project_ref=None,
    log_ref=None,
    primaries=6,
    n_tasks=1,
    tasks=TASKS,
    state="COMPLETED",
    failure="",
    submitted_at=NOW,
    ended_at=None,
    partial=False,
    tasks_merged=None,
    primaries_merged=None,
)
IMPORT, IMPORT_TASKS = ImportJob(IMPORTED), ImportTasks(JOB_ID, TASKS)


def settle(succeeded: int, failed: int, canceled: int = 0) -> SettleTasks:
    return SettleTasks(JOB_ID, succeeded, failed, canceled, tuple(range(failed)), "exit 3", NOW)


def after(*commands: object) -> Job:
    """Return the state after commands, each of which must change something."""
    state = JOB.initial
    for command in commands:
        made = JOB.decide(state, command)
        assert made, f"{command} changed nothing"
        state = JOB.fold(state, made)
    return state


def names(*made: object) -> list[str]:
    return [type(event).__name__ for event in made]


@pytest.mark.parametrize(
    ("given_", "when", "then"),
    [
        ([], SUBMIT, ["JobSubmitted", "JobStarted"]),
        ([SUBMIT], SUBMIT, []),
        ([SUBMIT], settle(4, 0), ["JobAllTasksSettled", "JobMergeRequested"]),
        ([SUBMIT], settle(1, 3), ["JobAllTasksSettled", "JobMergeRequested"]),
        ([SUBMIT], settle(0, 4), ["JobAllTasksSettled", "JobFailed"]),
        ([SUBMIT, settle(4, 0)], settle(4, 0), []),
        ([SUBMIT], STOP, ["JobLimitExceeded"]),
        ([SUBMIT, STOP], STOP, []),
        ([SUBMIT, STOP], CANCEL, []),
        ([SUBMIT, STOP], settle(1, 0, 3), ["JobAllTasksSettled", "JobFailed"]),
        ([SUBMIT, STOP], settle(4, 0), ["JobAllTasksSettled", "JobFailed"]),
        ([SUBMIT, CANCEL], STOP, []),
        ([SUBMIT, COLLECT], STOP, []),
        ([SUBMIT, settle(4, 0)], STOP, []),
        ([SUBMIT, settle(4, 0)], COMPLETE, ["JobCompleted"]),
        ([SUBMIT, settle(4, 0)], FAIL_MERGE, ["JobFailed"]),
        ([SUBMIT], COMPLETE, []),
        ([SUBMIT], FAIL_MERGE, []),
        ([SUBMIT], CANCEL, ["JobCancellationRequested"]),
        ([SUBMIT, CANCEL], CANCEL, []),
        ([SUBMIT, CANCEL], settle(1, 0, 3), ["JobAllTasksSettled", "JobCanceled"]),
        ([SUBMIT, COLLECT], settle(1, 0, 3), ["JobAllTasksSettled", "JobMergeRequested"]),
        ([SUBMIT, COLLECT], settle(0, 0, 4), ["JobAllTasksSettled", "JobCanceled"]),
        ([SUBMIT, COLLECT, settle(1, 0, 3)], COMPLETE, ["JobCompleted"]),
        ([SUBMIT, settle(4, 0)], CANCEL, ["JobCancellationRequested", "JobCanceled"]),
        ([SUBMIT, settle(4, 0), COLLECT], CANCEL, []),
        ([SUBMIT, settle(4, 0), CANCEL], COMPLETE, []),
        ([SUBMIT, settle(4, 0), COLLECT], COMPLETE, ["JobCompleted"]),
        ([SUBMIT, settle(4, 0), CANCEL], FAIL_MERGE, []),
        ([SUBMIT, settle(4, 0), CANCEL], DELETE, ["JobDeleted"]),
        ([SUBMIT, settle(4, 0), COMPLETE], CANCEL, []),
        ([SUBMIT, settle(4, 0), COMPLETE], DELETE, ["JobDeleted"]),
        ([SUBMIT, settle(0, 4)], DELETE, ["JobDeleted"]),
        ([SUBMIT], REVOKE, ["UpdateKeysRevoked"]),
        ([SUBMIT, REVOKE], REVOKE, []),
        ([SUBMIT, settle(0, 4)], REVOKE, ["UpdateKeysRevoked"]),
        ([SUBMIT, CANCEL], DELETE, ["JobDeletionRequested"]),
        ([SUBMIT, STOP], DELETE, ["JobDeletionRequested"]),
        ([SUBMIT, CANCEL, DELETE], DELETE, []),
        ([SUBMIT, CANCEL, DELETE], settle(1, 0, 3), [*CANCELED, "JobDeleted"]),
        ([SUBMIT, STOP, DELETE], settle(1, 0, 3), [*FAILED, "JobDeleted"]),
        ([SUBMIT, settle(4, 0), COMPLETE, DELETE], DELETE, []),
        ([], IMPORT_TASKS, ["JobTasksImported"]),
        ([IMPORT_TASKS], IMPORT_TASKS, []),
        ([IMPORT_TASKS], IMPORT, ["JobImported"]),
        ([IMPORT], IMPORT, []),
        ([IMPORT], IMPORT_TASKS, []),
        ([IMPORT], SUBMIT, []),
        ([IMPORT], CANCEL, []),
        ([IMPORT], COMPLETE, []),
        ([IMPORT], DELETE, ["JobDeleted"]),
        ([IMPORT, DELETE], IMPORT, []),
    ],
)
def test_decide(given_: list[object], when: object, then: list[str]) -> None:
    assert names(*JOB.decide(after(*given_), when)) == then


@pytest.mark.parametrize(
    ("given_", "when", "code"),
    [
        ([], CANCEL, "UNKNOWN_JOB"),
        ([], DELETE, "UNKNOWN_JOB"),
        ([], REVOKE, "UNKNOWN_JOB"),
        ([SUBMIT], DELETE, "JOB_ACTIVE"),
        ([SUBMIT, COLLECT], DELETE, "JOB_ACTIVE"),
        ([SUBMIT, CANCEL, DELETE], CANCEL, "UNKNOWN_JOB"),
        ([], ImportJob(replace(IMPORTED, state="RUNNING")), "JOB_ACTIVE"),
        ([SUBMIT], IMPORT, "JOB_EXISTS"),
        ([SUBMIT], IMPORT_TASKS, "JOB_EXISTS"),
        ([SUBMIT, settle(4, 0)], DELETE, "JOB_ACTIVE"),
        ([SUBMIT, settle(4, 0), COMPLETE, DELETE], CANCEL, "UNKNOWN_JOB"),
    ],
)
def test_rejections(given_: list[object], when: object, code: str) -> None:
    with pytest.raises(Rejected) as rejected:
        JOB.decide(after(*given_), when)
    assert rejected.value.code == code


def test_a_job_that_forbids_partial_results_fails_with_one_task() -> None:
    strict = SubmitJob(
        **{name: getattr(SUBMIT, name) for name in SubmitJob.__slots__ if name != "allow_partial"},
        allow_partial=False,
    )
    made = JOB.decide(after(strict), settle(3, 1))
    assert names(*made) == ["JobAllTasksSettled", "JobFailed"]
    failed = made[1]
    assert isinstance(failed, events.JobFailed)
    assert failed.summary == "1 of 4 tasks failed: exit 3"


@pytest.mark.parametrize("command", [CANCEL, COMPLETE, FAIL_MERGE])
def test_a_cancelled_merge_of_a_former_release_ends(command: object) -> None:
    waiting = Job(Phase.CANCELING, "u1", 4, settled=Settled(4))
    assert names(*JOB.decide(waiting, command)) == ["JobCanceled"]


COMMANDS = st.sampled_from(
    [
        SUBMIT,
        CANCEL,
        COLLECT,
        STOP,
        COMPLETE,
        FAIL_MERGE,
        DELETE,
        REVOKE,
        settle(4, 0),
        settle(2, 2),
        settle(4, 0),
        settle(2, 2),
        IMPORT_TASKS,
        IMPORT,
    ]
)


@given(st.lists(COMMANDS, max_size=12), st.integers(0, 12))
def test_any_history(commands: list[object], cut: int) -> None:
    """Terminal phases stay, repeats do nothing, folding in two parts equals folding once."""
    state = JOB.initial
    history: list[object] = []
    for command in commands:
        try:
            made = JOB.decide(state, command)
        except Rejected:
            continue
        if state.phase in TERMINAL:
            assert names(*made) in ([], ["JobDeleted"], ["UpdateKeysRevoked"])
        history.extend(made)
        state = JOB.fold(state, made)
        if made and not isinstance(command, DeleteJob):
            assert JOB.decide(state, command) == ()
    ended = [e for e in history if isinstance(e, events.JobCompleted | events.JobFailed)]
    assert len(ended) <= 1
    assert JOB.fold(JOB.fold(JOB.initial, history[:cut]), history[cut:]) == state


def test_a_job_beyond_a_limit_fails_with_its_code() -> None:
    _, failed = JOB.decide(after(SUBMIT, STOP), settle(1, 1, 2))
    assert isinstance(failed, events.JobFailed)
    assert (failed.code, failed.summary) == ("JOB_BYTES_LIMIT", "too many bytes")
    assert failed.failed_tasks == (0,)


def test_phases_cover_every_event() -> None:
    assert after(SUBMIT).phase is Phase.RUNNING
    assert after(SUBMIT, settle(4, 0)).phase is Phase.MERGING
    assert after(SUBMIT, CANCEL, settle(0, 0, 4)).phase is Phase.CANCELED
