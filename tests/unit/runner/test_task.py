"""The rules of a task, one by one."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kerma_common.contracts.events import runner as ev
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.registry import all_types
from kerma_common.domain import Rejected
from kerma_runner.domain import commands as c
from kerma_runner.domain import task as t
from kerma_runner.domain import worker as w

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = NOW + timedelta(seconds=45)
REF = Ref("ab" * 32, 3)
SPEC = c.Spec("job", 2, "ada", "cpu", "geant4", REF, 500, 77, 2)


def given(*commands: object, spec: c.Spec = SPEC) -> t.Task:
    task = t.task_of(spec).initial
    for command in commands:
        task = t.TASK.fold(task, t.decide(task, command))
    return task


def claim(attempt: int = 1, worker: str = "w", now: datetime = NOW) -> c.Claim:
    return c.Claim(worker, attempt, UNTIL, now)


def succeed(lease: int = 1) -> c.Succeed:
    return c.Succeed(lease, REF, None, 500, 1.5)


def fail(lease: int = 1, code: str = "EXIT") -> c.Fail:
    return c.Fail(lease, code, "boom", REF, NOW)


def names(events: tuple[object, ...]) -> list[str]:
    return [type(e).__name__ for e in events]


def rejects(task: t.Task, command: object) -> str:
    with pytest.raises(Rejected) as caught:
        t.decide(task, command)
    return caught.value.code


def test_a_task_lives_from_queue_to_success() -> None:
    task = given(claim(), c.Start(1), succeed())
    assert (task.phase, task.lease, task.attempt) == (t.Phase.SUCCEEDED, 1, 1)


def test_a_report_may_tell_the_start_too() -> None:
    leased = given(claim())
    told = replace(succeed(), started=True)
    assert names(t.decide(leased, told)) == ["TaskStarted", "TaskSucceeded"]
    assert names(t.decide(given(claim(), c.Start(1)), told)) == ["TaskSucceeded"]
    failed = names(t.decide(leased, replace(fail(), started=True)))
    assert failed == ["TaskStarted", "TaskFailed", "TaskRequeued"]


def test_one_of_two_claims_wins() -> None:
    task = given(claim(worker="a"))
    assert rejects(task, claim(worker="b")) == "BUSY"


def test_a_claim_whose_reply_was_lost_gets_the_same_lease() -> None:
    assert t.decide(given(claim()), claim()) == ()


def test_a_ticket_of_an_older_attempt_is_worthless() -> None:
    task = given(claim(), fail())
    assert rejects(task, claim(1)) == "GONE"


def test_the_next_attempt_waits_for_its_back_off() -> None:
    task = given(claim(), fail())
    assert task.not_before == NOW + t.backoff(1)
    assert rejects(task, claim(2)) == "TOO_EARLY"
    assert names(t.decide(task, claim(2, now=NOW + t.backoff(1)))) == ["TaskLeased"]


def test_back_off_grows_to_a_limit() -> None:
    waits = [t.backoff(n) for n in range(1, 30)]
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(minutes=5)


def test_the_last_attempt_fails_for_good() -> None:
    task = given(claim(), fail())
    task = given_from(task, claim(2, now=NOW + t.backoff(1)))
    events = t.decide(task, fail(2))
    assert names(events) == ["TaskFailed"]
    assert isinstance(events[0], ev.TaskFailed)
    assert events[0].final


def given_from(task: t.Task, *commands: object) -> t.Task:
    for command in commands:
        task = t.TASK.fold(task, t.decide(task, command))
    return task


def test_bad_input_is_not_tried_again() -> None:
    events = t.decide(given(claim()), fail(code="BAD_INPUT"))
    assert names(events) == ["TaskFailed"]


def test_an_expired_lease_requeues_and_its_report_is_late() -> None:
    task = given(claim(), c.Start(1), c.Expire(1, UNTIL, UNTIL))
    assert (task.phase, task.attempt) == (t.Phase.QUEUED, 2)
    assert rejects(task, succeed(1)) == "STALE_LEASE"
    assert rejects(task, fail(1)) == "STALE_LEASE"


def test_a_lease_does_not_expire_early() -> None:
    task = given(claim())
    assert t.decide(task, c.Expire(1, UNTIL, UNTIL - timedelta(seconds=1))) == ()
    assert t.decide(task, c.Expire(0, UNTIL, UNTIL)) == ()


def test_a_task_lost_in_its_last_attempt_fails_as_lost() -> None:
    task = given(claim(), spec=replace(SPEC, max_attempts=1))
    events = t.decide(task, c.Expire(1, UNTIL, UNTIL))
    assert names(events) == ["TaskLeaseExpired", "TaskFailed"]
    assert isinstance(events[1], ev.TaskFailed)
    assert (events[1].code, events[1].final) == ("LOST", True)


def test_a_release_costs_no_attempt() -> None:
    task = given(claim(), c.Start(1), c.Release(1, NOW))
    assert (task.phase, task.attempt) == (t.Phase.QUEUED, 1)
    assert names(t.decide(task, claim(1))) == ["TaskLeased"]


def test_a_queued_task_is_canceled_at_once() -> None:
    assert given(c.Cancel()).phase is t.Phase.CANCELED


def test_a_held_task_is_canceled_when_its_worker_confirms() -> None:
    held = given(claim(), c.Cancel())
    assert held.phase is t.Phase.LEASED
    assert given_from(held, c.ConfirmCancel(1)).phase is t.Phase.CANCELED


@pytest.mark.parametrize("end", [c.Expire(1, UNTIL, UNTIL), fail(), c.Release(1, NOW)])
def test_a_task_to_be_canceled_is_never_requeued(end: object) -> None:
    held = given(claim(), c.Cancel())
    assert given_from(held, end).phase is t.Phase.CANCELED


def test_a_success_beats_a_cancellation_under_way() -> None:
    held = given(claim(), c.Cancel())
    assert given_from(held, succeed()).phase is t.Phase.SUCCEEDED


def test_a_confirmation_nobody_asked_for_is_refused() -> None:
    assert rejects(given(claim()), c.ConfirmCancel(1)) == "NOT_CANCELING"


def test_a_success_with_missing_primaries_is_refused() -> None:
    task = given(claim())
    assert rejects(task, replace(succeed(), primaries=499)) == "WRONG_PRIMARIES"


def test_a_task_that_a_former_release_queued_begins_with_its_own_event() -> None:
    stored = {**asdict(SPEC), "input_ref": REF, "attempt": 1}
    for first in (t.TASK, t.task_of(SPEC)):
        assert first.fold(first.initial, [ev.TaskQueued(**stored)]) == t.task_of(SPEC).initial


def test_nothing_reaches_a_task_that_was_never_queued() -> None:
    assert rejects(t.TASK.initial, c.Cancel()) == "NO_SUCH_TASK"


def test_a_message_keeps_its_end_within_a_kib() -> None:
    text = t.shorten("é" * 2000 + " cause")
    assert len(text.encode()) <= 1024
    assert text.endswith(" cause")


class TaskMachine(RuleBasedStateMachine):
    """Commands in any order: final states stay, and repeated commands change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.task = t.task_of(SPEC).initial
        self.events: list[object] = []
        self.now = NOW

    def send(self, command: object) -> None:
        before = self.task
        try:
            events = t.decide(before, command)
        except Rejected:
            return
        self.task = t.TASK.fold(before, events)
        self.events.extend(events)
        assert not (before.phase.terminal and events)
        assert t.decide(self.task, command) == ()

    @rule(worker=st.sampled_from("abc"), attempt=st.integers(1, 3))
    def claim(self, worker: str, attempt: int) -> None:
        self.send(c.Claim(worker, attempt, self.now + timedelta(seconds=45), self.now))

    @rule(
        lease=st.integers(0, 4),
        kind=st.sampled_from(["start", "succeed", "fail", "bad", "release", "confirm", "expire"]),
    )
    def report(self, lease: int, kind: str) -> None:
        commands = {
            "start": c.Start(lease),
            "succeed": succeed(lease),
            "fail": c.Fail(lease, "EXIT", "m", None, self.now),
            "bad": c.Fail(lease, "BAD_INPUT", "m", None, self.now),
            "release": c.Release(lease, self.now),
            "confirm": c.ConfirmCancel(lease),
            "expire": c.Expire(lease, self.now, self.now),
        }
        self.send(commands[kind])

    @rule()
    def cancel(self) -> None:
        self.send(c.Cancel())

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def folding_in_parts_is_folding_at_once(self) -> None:
        half = len(self.events) // 2
        first = t.TASK.fold(t.task_of(SPEC).initial, self.events[:half])
        assert t.TASK.fold(first, self.events[half:]) == self.task
        assert t.TASK.fold(t.task_of(SPEC).initial, self.events) == self.task

    @invariant()
    def attempts_are_bounded_and_leases_have_holders(self) -> None:
        assert self.task.attempt <= SPEC.max_attempts
        assert (self.task.worker is not None) or not self.task.phase.held


TestTaskMachine = TaskMachine.TestCase
TestTaskMachine.settings = settings(max_examples=150, stateful_step_count=30)


def test_every_event_of_tasks_and_workers_is_known_to_their_rules() -> None:
    for aggregate, union in (("task", t.TaskEvent), ("worker", w.WorkerEvent)):
        stored = {k.cls for k in all_types() if (k.context, k.aggregate) == ("runner", aggregate)}
        assert set(get_args(union)) == stored


@pytest.mark.parametrize(
    ("code", "again"),
    [
        ("EXIT_CODE", True),
        ("LOST", True),
        ("BAD_INPUT", False),
        ("INPUT_REFUSED", False),
        ("FOLDER_LIMIT", False),
    ],
)
def test_failures_that_would_repeat_are_not_tried_again(code: str, again: bool) -> None:
    spec = c.Spec("job", 0, "ada", "pool", "geant4", Ref("0" * 64, 1), 10, 1, 2)
    assert t.may_retry(t.Task(attempt=1), spec, code) is again
    assert not t.may_retry(t.Task(attempt=2), spec, code)
