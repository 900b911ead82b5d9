"""The rules of jobs on a cluster, as given / when / then and for any history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_common.contracts.events import jobs as events
from kerma_common.contracts.events.jobs import BatchPlan
from kerma_common.contracts.refs import Ref
from kerma_common.domain import Rejected
from kerma_jobs.domain.batch import ENDS, JOB_STATES, MOST_ARRAYS, TASK_STATES
from kerma_jobs.domain.commands import (
    CancelJob,
    CompleteJob,
    DeleteJob,
    EndOverdueJob,
    FailMerge,
    ReportJob,
    ReportTasks,
    RevokeUpdateKeys,
    SubmitJob,
    TaskReport,
)
from kerma_jobs.domain.job import JOB
from kerma_jobs.domain.state import TERMINAL, Job, Phase

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
JOB_ID = "20261122-120000-00000000-0000-0000-0000-000000000000BATCH"
SUBMIT = SubmitJob(
    job_id=JOB_ID,
    owner="u1",
    title="t",
    platform="BATCH",
    sim_type="shieldhit",
    engine="shieldhit",
    engine_version="",
    input_kind="EDITOR",
    input_ref=Ref("00", 1),
    project_ref=None,
    primaries=10,
    n_tasks=3,
    max_attempts=3,
    allow_partial=True,
    batch=BatchPlan("c1", "ares", Ref("22", 1)),
)
CANCEL = CancelJob(JOB_ID, "u1", collect=False, now=NOW)
COMPLETE = CompleteJob(JOB_ID, 3, 10, partial=False, now=NOW)
FAIL_MERGE = FailMerge(JOB_ID, "BROKEN", "broken output", NOW)
DELETE = DeleteJob(JOB_ID, "u1")
REVOKE = RevokeUpdateKeys(JOB_ID, "op", NOW)
MISSING = EndOverdueJob(JOB_ID, "RESULTS_MISSING", "no results", LATER)
SILENT = EndOverdueJob(JOB_ID, "CLUSTER_SILENT", "no report", LATER, silent_since=NOW)


def told(*states: str, **said: Any) -> ReportTasks:
    """Report these states of the tasks from the first on."""
    reports = (TaskReport(index, state, **said) for index, state in enumerate(states))
    return ReportTasks(JOB_ID, tuple(reports), NOW, LATER)


def said(index: int, state: str | None = None, **said: Any) -> ReportTasks:
    return ReportTasks(JOB_ID, (TaskReport(index, state, **said),), NOW, LATER)


def job_is(state: str | None, **said: Any) -> ReportJob:
    return ReportJob(JOB_ID, NOW, LATER, state, **said)


def after(*commands: object) -> Job:
    state = JOB.initial
    for command in commands:
        made = JOB.decide(state, command)
        assert made, f"{command} changed nothing"
        state = JOB.fold(state, made)
    return state


def names(*made: object) -> list[str]:
    return [type(event).__name__ for event in made]


ALL = told("COMPLETED", "COMPLETED", "COMPLETED")


@pytest.mark.parametrize(
    ("given_", "when", "then"),
    [
        ([], SUBMIT, ["JobSubmitted", "JobStarted"]),
        ([], said(0, "PENDING"), []),
        ([], said(0, "RUNNING"), ["TasksReported"]),
        ([said(0, "RUNNING")], said(0, "RUNNING"), []),
        ([said(0, "RUNNING")], said(0, "RUNNING", started_at=NOW), []),
        ([said(0, started_at=NOW)], said(0, started_at=LATER), []),
        ([], said(0, requested=4), []),  # its share
        ([], said(0, requested=5), ["TasksReported"]),
        ([said(0, requested=5)], said(0, requested=5), []),
        ([], said(3, "RUNNING"), []),
        ([], said(-1, "RUNNING"), []),
        ([], ALL, ["TasksReported", "JobAllTasksSettled", "JobResultsAwaited"]),
        (
            [],
            told("FAILED", "FAILED", "FAILED"),
            ["TasksReported", "JobAllTasksSettled", "JobFailed"],
        ),
        (
            [told("COMPLETED", "FAILED")],
            said(2, "CANCELED"),
            ["TasksReported", "JobAllTasksSettled", "JobResultsAwaited"],
        ),
        ([ALL], said(0, "FAILED"), []),
        ([ALL], job_is("MERGING_QUEUED"), []),
        ([ALL], job_is("MERGING_RUNNING"), ["JobStateReported"]),
        ([ALL], COMPLETE, ["JobCompleted"]),
        ([ALL], FAIL_MERGE, ["JobFailed"]),
        ([], COMPLETE, ["JobResultsAwaited", "JobCompleted"]),
        ([], FAIL_MERGE, ["JobFailed"]),
        ([], CANCEL, ["JobCancellationRequested", "JobCanceled"]),
        ([ALL], CANCEL, ["JobCancellationRequested", "JobCanceled"]),
        ([CANCEL], CANCEL, []),
        ([CANCEL], COMPLETE, []),
        ([CANCEL], DELETE, ["JobDeleted"]),
        ([], job_is(None), []),
        ([], job_is("RUNNING"), ["JobStateReported"]),
        ([said(0, "RUNNING")], job_is("RUNNING"), []),
        ([], job_is("MERGING_RUNNING"), ["JobResultsAwaited", "JobStateReported"]),
        ([], job_is("COMPLETED"), ["JobResultsAwaited", "JobStateReported"]),
        ([], job_is("FAILED"), ["JobFailed"]),
        ([], job_is("CANCELED"), ["JobCanceled"]),
        ([job_is("CANCELED")], job_is("CANCELED"), []),
        ([], job_is(None, array_id=3), ["JobArraysReported"]),
        ([job_is(None, array_id=3)], job_is(None, array_id=3), []),
        ([job_is("FAILED")], job_is("RUNNING", array_id=3), ["JobArraysReported"]),
        ([], job_is(None, log_ref=Ref("aa", 1)), ["JobLogReported"]),
        ([job_is(None, log_ref=Ref("aa", 1))], job_is(None, log_ref=Ref("aa", 1)), []),
        ([job_is("FAILED")], said(0, "RUNNING"), []),
        ([COMPLETE], said(0, "FAILED"), []),
    ],
)
def test_decide(given_: list[object], when: object, then: list[str]) -> None:
    start = [] if when is SUBMIT else [SUBMIT]
    assert names(*JOB.decide(after(*start, *given_), when)) == then


@pytest.mark.parametrize("when", [said(0, "RUNNING"), job_is("FAILED")])
@pytest.mark.parametrize(
    ("given_", "code"),
    [
        ([], "UNKNOWN_JOB"),
        ([replace(SUBMIT, platform="DIRECT", batch=None)], "NOT_A_BATCH_JOB"),
        ([SUBMIT, replace(REVOKE, now=LATER)], "KEY_REVOKED"),
        ([SUBMIT, CANCEL], "JOB_CANCELED"),
        ([SUBMIT, CANCEL, DELETE], "UNKNOWN_JOB"),
    ],
)
def test_rejections(given_: list[object], when: object, code: str) -> None:
    with pytest.raises(Rejected) as rejected:
        JOB.decide(after(*given_), when)
    assert rejected.value.code == code


def test_a_later_key_than_the_revocation_is_accepted() -> None:
    assert JOB.decide(after(SUBMIT, REVOKE), said(0, "RUNNING"))


def test_tasks_go_to_the_cluster() -> None:
    _, started = JOB.decide(JOB.initial, SUBMIT)
    assert isinstance(started, events.JobStarted)
    assert started.placement == "batch"


def test_an_end_sets_times_and_counts() -> None:
    (reported,) = JOB.decide(after(SUBMIT), said(0, "COMPLETED", requested=7, simulated=2))
    assert isinstance(reported, events.TasksReported)
    assert reported.tasks == (
        events.ReportedTask(0, "COMPLETED", 7, 7, started_at=LATER, ended_at=LATER),
    )
    (reported,) = JOB.decide(after(SUBMIT), said(0, "FAILED", simulated=99, ended_at=NOW))
    assert isinstance(reported, events.TasksReported)
    assert reported.tasks == (
        events.ReportedTask(0, "FAILED", None, 4, started_at=LATER, ended_at=NOW),
    )


def test_two_reports_on_a_task_in_one_command_are_taken_in_their_order() -> None:
    both = ReportTasks(
        JOB_ID,
        (TaskReport(0, "RUNNING"), TaskReport(0, "FAILED"), TaskReport(0, "RUNNING")),
        NOW,
        NOW,
    )
    (reported,) = JOB.decide(after(SUBMIT), both)
    assert isinstance(reported, events.TasksReported)
    assert [task.state for task in reported.tasks] == ["RUNNING", "FAILED"]


def test_a_job_that_is_not_heard_of_fails_if_it_still_waits_for_the_same() -> None:
    waits = after(SUBMIT, told("COMPLETED", "COMPLETED", "FAILED"))
    for state, command in ((after(SUBMIT), SILENT), (waits, MISSING)):
        (failed,) = JOB.decide(state, command)
        assert isinstance(failed, events.JobFailed)
        assert (failed.code, failed.summary) == (command.code, command.message)
        assert failed.ended_at == LATER
    for state, command in ((after(SUBMIT), MISSING), (waits, SILENT)):
        assert JOB.decide(state, command) == ()
    for end in (COMPLETE, FAIL_MERGE, CANCEL):
        assert JOB.decide(after(SUBMIT, end), SILENT) == ()
    direct = after(replace(SUBMIT, platform="DIRECT", batch=None))
    assert JOB.decide(direct, SILENT) == ()


def test_a_job_that_was_heard_of_meanwhile_goes_on() -> None:
    """Whoever waits may be behind with reading the reports."""
    reports = (said(0, "RUNNING"), job_is(None, array_id=7))
    job = after(SUBMIT, *reports)
    assert job.reported is not None
    assert job.reported.heard == 2
    assert JOB.decide(job, replace(SILENT, heard=1)) == ()
    assert JOB.decide(job, replace(SILENT, heard=2))
    waits = after(SUBMIT, *reports, job_is("COMPLETED"))
    for heard in (2, 3):
        assert JOB.decide(waits, replace(MISSING, heard=heard)) == ()
    assert JOB.decide(waits, replace(MISSING, heard=4))


TASK = st.builds(
    TaskReport,
    index=st.integers(-1, 3),
    state=st.sampled_from([None, *sorted(TASK_STATES)]),
    requested=st.none() | st.integers(1, 9),
    simulated=st.none() | st.integers(1, 9),
    started_at=st.none() | st.just(NOW),
    ended_at=st.none() | st.just(LATER),
)
COMMANDS = st.one_of(
    st.lists(TASK, min_size=1, max_size=4).map(
        lambda reports: ReportTasks(JOB_ID, tuple(reports), NOW, LATER)
    ),
    st.builds(
        ReportJob,
        st.just(JOB_ID),
        st.just(NOW),
        st.just(LATER),
        state=st.sampled_from([None, *sorted(JOB_STATES)]),
        array_id=st.none() | st.integers(1, 2),
        log_ref=st.none() | st.just(Ref("aa", 1)),
    ),
    st.sampled_from([SUBMIT, CANCEL, COMPLETE, FAIL_MERGE, MISSING, SILENT, DELETE, REVOKE]),
)
AFTER_THE_END = {"JobDeleted", "UpdateKeysRevoked", "JobArraysReported", "JobLogReported"}


@given(st.lists(COMMANDS, max_size=15), st.integers(0, 15))
def test_any_history(commands: list[object], cut: int) -> None:
    """Ends are final, repeats do nothing, folding in two parts equals folding once."""
    state, history = after(SUBMIT), list(JOB.decide(JOB.initial, SUBMIT))
    for command in commands:
        try:
            made = JOB.decide(state, command)
        except Rejected:
            continue
        if state.phase in TERMINAL:
            assert set(names(*made)) <= AFTER_THE_END
        before, state = state, JOB.fold(state, made)
        history.extend(made)
        if state.phase not in (Phase.CANCELED, Phase.DELETED) or not isinstance(
            command, ReportTasks | ReportJob | DeleteJob
        ):
            assert state.phase is Phase.DELETED or JOB.decide(state, command) == ()
        assert before.reported is not None
        assert state.reported is not None
        for index, task in before.reported.tasks.items():
            now = state.reported.tasks[index]
            assert now.state == task.state or task.state not in ENDS
    assert sum(isinstance(e, events.JobCompleted | events.JobFailed) for e in history) <= 1
    assert JOB.fold(JOB.fold(JOB.initial, history[:cut]), history[cut:]) == state


def test_places_are_taken_a_bounded_number_of_times_and_never_again() -> None:
    job = after(
        SUBMIT, job_is(None, job_dir="/a"), job_is(None, array_id=1), job_is(None, array_id=2)
    )
    # repetitions that come late
    for late in (job_is(None, array_id=1), job_is(None, job_dir="/a"), job_is(None, array_id=2)):
        assert JOB.decide(job, late) == ()
    for number in range(3, 100):
        for event in JOB.decide(job, job_is(None, array_id=number)):
            job = JOB.evolve(job, event)
    assert job.reported is not None
    assert len(job.reported.told) == MOST_ARRAYS
    assert job.reported.arrays.array_id == MOST_ARRAYS - 1  # the first place had none
