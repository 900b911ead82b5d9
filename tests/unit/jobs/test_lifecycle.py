"""JobLifecycle: the end of a job follows from the ends of its tasks."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kerma_common.contracts.events import jobs, results, runner
from kerma_common.contracts.refs import Ref
from kerma_common.projection.router import At
from kerma_jobs.app.lifecycle import Endings, ForgetProgress, JobLifecycle
from kerma_jobs.domain.commands import CompleteJob, FailMerge, SettleTasks, StopJob

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT = At("RUNNER", 7, "c.0", NOW, "j", "svc:runner")
LIFECYCLE = JobLifecycle()
REF = Ref("00", 1)


def succeeded(index: int) -> runner.TaskSucceeded:
    return runner.TaskSucceeded(
        job_id="j",
        index=index,
        lease=1,
        attempt=1,
        output_ref=REF,
        log_ref=None,
        primaries=10,
        cpu_seconds=1.0,
    )


def failed(index: int, *, final: bool, message: str = "exit 3") -> runner.TaskFailed:
    return runner.TaskFailed(
        job_id="j",
        index=index,
        lease=1,
        attempt=1,
        code="EXIT",
        message=message,
        log_ref=None,
        final=final,
    )


SUBMITTED = jobs.JobSubmitted(
    job_id="j",
    owner="u",
    title="",
    platform="DIRECT",
    sim_type="geant4",
    engine="geant4",
    engine_version="",
    input_kind="EDITOR",
    input_ref=REF,
    project_ref=None,
    primaries=30,
    n_tasks=3,
    max_attempts=3,
    allow_partial=True,
)


def run(*events: object) -> tuple[Endings | None, list[object]]:
    state: Endings | None = None
    commands: list[object] = []
    for event in events:
        assert LIFECYCLE.key(event) == "j"
        reaction = LIFECYCLE.handle(state, event, AT)
        state = reaction.state
        commands.extend(reaction.commands)
    return state, commands


def test_the_last_ending_settles_the_tasks_once() -> None:
    _, commands = run(
        SUBMITTED, succeeded(0), failed(1, final=False), failed(1, final=True), succeeded(2)
    )
    assert commands == [SettleTasks("j", 2, 1, 0, (1,), "exit 3", NOW, 2)]


def test_endings_seen_before_the_submission_count() -> None:
    _, commands = run(succeeded(0), succeeded(1), succeeded(2), SUBMITTED)
    assert commands == [SettleTasks("j", 3, 0, 0, (), "", NOW, 3)]


def test_a_job_that_stores_too_much_is_stopped_once_and_before_it_is_settled() -> None:
    limited = replace(SUBMITTED, byte_limit=1)
    message = "The outputs and logs of its tasks have 2 bytes, more than 1, the limit KERMA_JOBS_JOB_BYTES"
    stop = StopJob("j", "JOB_BYTES_LIMIT", message)
    ends = [succeeded(index) for index in range(3)]
    assert run(limited, ends[0])[1] == []
    assert run(limited, *ends[:2])[1] == [stop]
    assert run(limited, *ends)[1] == [stop, SettleTasks("j", 3, 0, 0, (), "", NOW, 3)]
    of_logs = replace(failed(0, final=False), log_ref=Ref("00", 2))
    assert run(limited, of_logs)[1] == [stop]
    assert run(SUBMITTED, of_logs)[1] == []  # of a release without the limit
    late, settle = run(*ends, replace(SUBMITTED, byte_limit=2))[1]
    assert isinstance(late, StopJob)
    assert isinstance(settle, SettleTasks)


def test_cancellations_count_as_endings() -> None:
    alone = [runner.TaskCanceled(job_id="j", index=i) for i in range(3)]
    together = runner.TasksCanceled(job_id="j", tasks=((0, 1), (2, 3)), withdrawn=7)
    for canceled in (alone, [alone[1], together]):
        _, commands = run(SUBMITTED, *canceled)
        assert commands == [SettleTasks("j", 0, 0, 3, (), "", NOW)]


def test_publication_completes_and_merge_failure_fails() -> None:
    published = results.ResultSetPublished(
        job_id="j", tasks_merged=2, primaries_merged=20, partial=True
    )
    broken = results.ResultSetFailed(job_id="j", code="X", message="no")
    assert run(SUBMITTED, published)[1] == [CompleteJob("j", 2, 20, True, NOW)]
    assert run(SUBMITTED, broken)[1] == [FailMerge("j", "X", "no", NOW)]


@pytest.mark.parametrize(
    "end",
    [
        jobs.JobCompleted(
            job_id="j", tasks_merged=3, primaries_merged=30, partial=False, ended_at=NOW
        ),
        jobs.JobFailed(job_id="j", code="X", summary="", failed_tasks=(), ended_at=NOW),
        jobs.JobCanceled(job_id="j", succeeded=0, failed=0, canceled=3, ended_at=NOW),
    ],
)
def test_an_ended_job_is_forgotten(end: object) -> None:
    assert run(SUBMITTED, succeeded(0), end)[0] is None


def test_only_a_few_failures_are_named() -> None:
    state, _ = run(*(failed(i, final=True, message=f"m{i}") for i in range(30)))
    assert state is not None
    assert state.failed == 30
    assert state.failed_tasks == tuple(range(20))
    assert state.reason == "m0"


def test_other_events_belong_to_no_job() -> None:
    assert LIFECYCLE.key(results.MergeStarted(job_id="j", attempt=1)) is None


def test_lost_tasks_count_as_failed_once_and_users_see_why() -> None:
    lost = runner.TasksLost(job_id="j", tasks=(0, 2), reason="damaged")
    again = runner.TasksLost(job_id="j", tasks=(2,), reason="damaged")
    _, commands = run(SUBMITTED, lost, again, succeeded(0), failed(2, final=True), succeeded(1))
    assert commands == [SettleTasks("j", 1, 2, 0, (0, 2), "damaged", NOW, 1)]


def test_what_clusters_reported_is_forgotten_with_the_job() -> None:
    reaction = LIFECYCLE.handle(None, jobs.JobDeleted(job_id="j", by="u"), AT)
    assert (reaction.state, reaction.commands) == (None, (ForgetProgress("j"),))
