"""Jobs on clusters that are not heard of: which timers are set, and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kerma_common.contracts.events import jobs, results
from kerma_common.contracts.refs import Ref
from kerma_common.process.manager import Reaction
from kerma_common.projection.router import At
from kerma_jobs.app.lifecycle import Endings, JobLifecycle
from kerma_jobs.app.patience import SECOND_LOOK, Patience
from kerma_jobs.domain.commands import EndOverdueJob

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIFECYCLE = JobLifecycle(Patience(timedelta(hours=24), timedelta(days=7)))
AWAITED = jobs.JobResultsAwaited(job_id="j")
MERGING = jobs.JobStateReported(job_id="j", state="MERGING_RUNNING")
RUNNING = jobs.JobStateReported(job_id="j", state="RUNNING")
ARRAYS = jobs.JobArraysReported(job_id="j", job_dir=None, array_id=1, collect_id=None)
LOG = jobs.JobLogReported(job_id="j", log_ref=Ref("00", 1))
TASKS = jobs.TasksReported(job_id="j", tasks=())
RECEIVED = results.ResultsReceived(job_id="j", digest="00", tasks=3)


def submitted(platform: str = "BATCH") -> jobs.JobSubmitted:
    return jobs.JobSubmitted(
        job_id="j",
        owner="u",
        title="",
        platform=platform,
        sim_type="shieldhit",
        engine="shieldhit",
        engine_version="",
        input_kind="EDITOR",
        input_ref=Ref("00", 1),
        project_ref=None,
        primaries=30,
        n_tasks=3,
        max_attempts=3,
        allow_partial=True,
    )


class Instance:
    """One instance of the process manager with its timers; an hour passes before each event."""

    def __init__(self) -> None:
        self.state: Endings | None = None
        self.timers: dict[str, datetime] = {}
        self.now = NOW
        self.commands: list[object] = []

    def _take(self, reaction: Reaction[Endings]) -> None:
        self.state = reaction.state
        if reaction.state is None:
            self.timers.clear()
        for timer in reaction.timers:
            if timer.due is None:
                self.timers.pop(timer.name, None)
            else:
                self.timers[timer.name] = timer.due
        self.commands += reaction.commands

    def hear(self, *events: Any) -> Instance:
        for event in events:
            self.now += timedelta(hours=1)
            assert LIFECYCLE.key(event) == "j"
            at = At("JOBS", 7, "c.0", self.now, "j", "svc:jobs")
            self._take(LIFECYCLE.handle(self.state, event, at))
        return self

    def left(self) -> dict[str, timedelta]:
        return {name: due - self.now for name, due in self.timers.items()}

    def wait(self) -> None:
        """Let the next timer be due."""
        name = min(self.timers, key=self.timers.__getitem__)
        self.now = self.timers.pop(name)
        self._take(LIFECYCLE.wake(self.state, "j", name, self.now))


def test_a_job_that_kerma_runs_has_no_timer() -> None:
    assert Instance().hear(submitted("DIRECT")).timers == {}


@pytest.mark.parametrize("event", [TASKS, RUNNING, ARRAYS, LOG])
def test_every_report_puts_the_end_off(event: object) -> None:
    instance = Instance().hear(submitted())
    assert instance.left() == {"silence": timedelta(days=7)}
    assert instance.hear(event).left() == {"silence": timedelta(days=7)}
    instance.wait()
    assert instance.hear(event).left() == {"silence": timedelta(days=7)}
    assert instance.commands == []


def test_results_are_awaited_for_a_time_of_their_own() -> None:
    instance = Instance().hear(submitted(), TASKS, AWAITED)
    assert instance.left() == {"results": timedelta(hours=24)}
    assert instance.hear(ARRAYS, LOG).left() == {"results": timedelta(hours=22)}
    assert instance.hear(MERGING).left() == {"results": timedelta(hours=24)}


def test_a_timer_looks_twice_before_the_job_ends() -> None:
    instance = Instance().hear(submitted(), AWAITED)
    due = instance.timers["results"]
    instance.wait()
    assert (instance.commands, instance.now) == ([], due)
    instance.wait()
    (command,) = instance.commands
    assert instance.now == due + SECOND_LOOK
    assert isinstance(command, EndOverdueJob)
    assert (command.job_id, command.code, command.now) == ("j", "RESULTS_MISSING", instance.now)
    assert command.silent_since is None
    assert "24 hours" in command.message
    assert command.heard == 1
    assert instance.left() == {"results": timedelta(hours=3)}


def test_news_between_the_looks_count() -> None:
    """A service that was down finds timers due before it has read what happened meanwhile."""
    instance = Instance().hear(submitted(), AWAITED)
    instance.wait()
    published = results.ResultSetPublished(
        job_id="j", tasks_merged=3, primaries_merged=30, partial=False
    )
    ended = jobs.JobCompleted(
        job_id="j", tasks_merged=3, primaries_merged=30, partial=False, ended_at=NOW
    )
    assert instance.hear(published, ended).timers == {}
    again = Instance().hear(submitted(), AWAITED)
    again.wait()
    assert again.hear(MERGING).left() == {"results": timedelta(hours=24)}


def test_a_silent_job_is_looked_at_again() -> None:
    """Its progress is no event, so the command may find that it is not silent."""
    instance = Instance().hear(submitted())
    instance.wait()
    instance.wait()
    (command,) = instance.commands
    assert isinstance(command, EndOverdueJob)
    assert command.code == "CLUSTER_SILENT"
    assert command.silent_since == instance.now - timedelta(days=7)
    assert instance.left() == {"silence": timedelta(days=7) / 8}


@pytest.mark.parametrize("event", [TASKS, ARRAYS, LOG, MERGING, AWAITED])
def test_what_is_told_after_the_end_sets_no_timer(event: object) -> None:
    failed = jobs.JobFailed(job_id="j", code="X", summary="", failed_tasks=(), ended_at=NOW)
    instance = Instance().hear(submitted(), failed, event)
    assert (instance.state, instance.timers) == (None, {})
    assert LIFECYCLE.wake(None, "j", "silence-again", NOW) == Reaction(None)


@pytest.mark.parametrize("before", [(), (TASKS,), (TASKS, AWAITED)])
@pytest.mark.parametrize("after", [(), (AWAITED,), (MERGING, TASKS, LOG)])
def test_results_that_have_come_wait_for_their_publication_without_end(
    before: tuple[object, ...], after: tuple[object, ...]
) -> None:
    assert Instance().hear(submitted(), *before, RECEIVED, *after).timers == {}


def test_results_between_the_looks_count() -> None:
    instance = Instance().hear(submitted(), AWAITED)
    instance.wait()
    assert instance.hear(RECEIVED).timers == {}
    assert instance.commands == []


def test_results_of_a_job_that_has_ended_leave_nothing() -> None:
    failed = jobs.JobFailed(job_id="j", code="X", summary="", failed_tasks=(), ended_at=NOW)
    instance = Instance().hear(submitted(), failed, RECEIVED)
    assert (instance.state, instance.timers) == (None, {})


def test_results_may_be_read_before_the_submission() -> None:
    """They are of different streams; whoever ends the job looks whether they have come."""
    instance = Instance().hear(RECEIVED, submitted(), TASKS)
    assert instance.state == Instance().hear(submitted(), TASKS).state
    assert set(instance.timers) == {"silence"}


def test_the_end_names_how_often_the_job_was_heard_of() -> None:
    instance = Instance().hear(submitted(), TASKS, ARRAYS, LOG)
    instance.wait()
    instance.wait()
    (command,) = instance.commands
    assert isinstance(command, EndOverdueJob)
    assert command.heard == 3


def test_an_instance_of_a_former_release_has_not_counted() -> None:
    instance = Instance().hear(submitted())
    assert instance.state is not None
    instance.state = replace(instance.state, heard=None)
    instance.hear(TASKS).wait()
    instance.wait()
    (command,) = instance.commands
    assert isinstance(command, EndOverdueJob)
    assert command.heard is None
