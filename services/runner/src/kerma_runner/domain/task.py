"""A task: one share of a job's primaries, run by at most one worker at a time.

Every lease has a fencing number. A report with an older number is rejected, so a worker that was
thought dead cannot change the task any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from kerma_common.contracts.events import runner as ev
from kerma_common.contracts.refs import Ref
from kerma_common.domain import Aggregate, Rejected
from kerma_runner.domain.commands import (
    Cancel,
    Claim,
    Command,
    ConfirmCancel,
    Expire,
    Fail,
    Release,
    Report,
    Spec,
    Start,
    Succeed,
)

FINAL_CODES = frozenset({"BAD_INPUT", "INPUT_REFUSED", "UNKNOWN_ENGINE"})
"""Codes of failures that are not retried; exceeded limits (``…_LIMIT``) are not either.

Every attempt would fail the same way: the same seed gives the same run.
"""

_LIMIT = "_LIMIT"

LOST = "LOST"
_BACKOFF = timedelta(seconds=2)
_LONGEST_BACKOFF = timedelta(minutes=5)
_MESSAGE_BYTES = 1024


class Phase(StrEnum):
    """State of a task in its life cycle."""

    NEW = "NEW"
    QUEUED = "QUEUED"
    LEASED = "LEASED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def held(self) -> bool:
        """Whether a worker holds the task."""
        return self in (Phase.LEASED, Phase.RUNNING)

    @property
    def terminal(self) -> bool:
        """Whether the task has ended."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELED)


@dataclass(frozen=True, slots=True)
class Task:
    """State of one task.

    ``lease`` is the last fencing number given, 0 before the first; ``ended_by`` names the command
    that ended that lease, which tells a repeated report from a late one.
    """

    phase: Phase = Phase.NEW
    spec: Spec | None = None
    attempt: int = 0
    lease: int = 0
    worker: str | None = None
    until: datetime | None = None
    not_before: datetime | None = None
    canceling: bool = False
    ended_by: str | None = None


def backoff(attempt: int) -> timedelta:
    """Return the wait after failed attempt ``attempt`` (from 1): 2 s, 6 s, 18 s … at most 5 min."""
    factor: int = 3 ** min(attempt - 1, 10)
    return min(_BACKOFF * factor, _LONGEST_BACKOFF)


def shorten(message: str) -> str:
    """Return the last KiB of a message: engines write the cause at the end."""
    body = message.encode("utf-8", "replace")
    return body[-_MESSAGE_BYTES:].decode("utf-8", "ignore")


def decide(task: Task, command: object) -> tuple[object, ...]:
    """Return the events that follow from ``command``; see the commands for their meaning."""
    if not isinstance(command, Command):
        raise TypeError(f"a task knows no {type(command).__name__}")
    if task.spec is None:
        raise Rejected("NO_SUCH_TASK", "the task was never queued")
    match command:
        case Claim():
            return _claim(task, task.spec, command)
        case Cancel():
            return _cancel(task, task.spec)
        case Expire():
            return _expire(task, task.spec, command)
        case Start() | Succeed() | Fail() | Release() | ConfirmCancel():
            return _report(task, task.spec, command)
        case _:
            assert_never(command)


def may_retry(task: Task, spec: Spec, code: str) -> bool:
    """Return whether an attempt that ended with ``code`` may be retried."""
    repeats = code in FINAL_CODES or code.endswith(_LIMIT)
    return task.attempt < spec.max_attempts and not repeats


def _claim(task: Task, spec: Spec, command: Claim) -> tuple[object, ...]:
    if task.phase is Phase.LEASED and task.worker == command.worker:
        # the reply to its first claim was lost: grant the same lease again
        return ()
    if task.phase.held:
        raise Rejected("BUSY", "another worker holds the task")
    if task.phase.terminal or command.attempt != task.attempt:
        raise Rejected("GONE", "this attempt is over")
    if task.not_before is not None and command.now < task.not_before:
        raise Rejected("TOO_EARLY", "the next attempt has to wait")
    return (
        ev.TaskLeased(
            job_id=spec.job_id,
            index=spec.index,
            lease=task.lease + 1,
            worker=command.worker,
            until=command.until,
        ),
    )


def _cancel(task: Task, spec: Spec) -> tuple[object, ...]:
    if task.phase.terminal or task.canceling:
        return ()
    if task.phase.held:
        return (ev.TaskCancellationRequested(job_id=spec.job_id, index=spec.index),)
    return (_canceled(spec),)


def _canceled(spec: Spec) -> ev.TaskCanceled:
    return ev.TaskCanceled(job_id=spec.job_id, index=spec.index)


def _expire(task: Task, spec: Spec, command: Expire) -> tuple[object, ...]:
    if not task.phase.held or command.lease != task.lease or command.now < command.until:
        return ()
    expired = ev.TaskLeaseExpired(job_id=spec.job_id, index=spec.index, lease=task.lease)
    if task.canceling:
        return (expired, _canceled(spec))
    if may_retry(task, spec, LOST):
        return (expired, _requeued(task.attempt + 1, spec, LOST, command.now))
    message = f"worker {task.worker} was not heard of any more"
    return (expired, _failed(task, spec, LOST, message, None, final=True))


_REPEATS: dict[str, tuple[type, ...]] = {
    "Succeed": (Succeed,),
    "Fail": (Fail,),
    "Release": (Release,),
    "ConfirmCancel": (ConfirmCancel, Fail, Release),
}
"""Commands that repeat the end of a lease, by the recorded ``ended_by``."""


def _report(task: Task, spec: Spec, command: Report) -> tuple[object, ...]:
    own = command.lease == task.lease
    if own and task.phase.held:
        return _settle(task, spec, command)
    if own and isinstance(command, _REPEATS.get(task.ended_by or "", ())):
        return ()
    raise Rejected("STALE_LEASE", f"lease {command.lease} is over")


def _settle(task: Task, spec: Spec, command: Report) -> tuple[object, ...]:
    match command:
        case Start():
            return _start(task, spec)
        case Succeed():
            begun = _start(task, spec) if command.started else ()
            return (*begun, _succeeded(task, spec, command))
        case Fail():
            begun = _start(task, spec) if command.started else ()
            return (*begun, *_fail(task, spec, command))
        case Release():
            if task.canceling:
                return (_canceled(spec),)
            return (_requeued(task.attempt, spec, "RELEASED", command.now),)
        case ConfirmCancel():
            if not task.canceling:
                raise Rejected("NOT_CANCELING", "nobody asked to cancel the task")
            return (_canceled(spec),)
        case _:
            assert_never(command)


def _start(task: Task, spec: Spec) -> tuple[object, ...]:
    if task.phase is Phase.RUNNING:
        return ()
    return (
        ev.TaskStarted(
            job_id=spec.job_id, index=spec.index, lease=task.lease, worker=task.worker or ""
        ),
    )


def _succeeded(task: Task, spec: Spec, command: Succeed) -> ev.TaskSucceeded:
    if command.primaries != spec.primaries:
        raise Rejected(
            "WRONG_PRIMARIES", f"{command.primaries} of {spec.primaries} primaries were simulated"
        )
    return ev.TaskSucceeded(
        job_id=spec.job_id,
        index=spec.index,
        lease=task.lease,
        attempt=task.attempt,
        output_ref=command.output_ref,
        log_ref=command.log_ref,
        primaries=command.primaries,
        cpu_seconds=command.cpu_seconds,
    )


def _fail(task: Task, spec: Spec, command: Fail) -> tuple[object, ...]:
    if task.canceling:
        return (_canceled(spec),)
    final = not may_retry(task, spec, command.code)
    failed = _failed(task, spec, command.code, command.message, command.log_ref, final=final)
    if final:
        return (failed,)
    not_before = command.now + backoff(task.attempt)
    return (failed, _requeued(task.attempt + 1, spec, command.code, not_before))


def _failed(
    task: Task, spec: Spec, code: str, message: str, log_ref: Ref | None, *, final: bool
) -> ev.TaskFailed:
    return ev.TaskFailed(
        job_id=spec.job_id,
        index=spec.index,
        lease=task.lease,
        attempt=task.attempt,
        code=code,
        message=shorten(message),
        log_ref=log_ref,
        final=final,
    )


def _requeued(attempt: int, spec: Spec, reason: str, not_before: datetime) -> ev.TaskRequeued:
    return ev.TaskRequeued(
        job_id=spec.job_id,
        index=spec.index,
        reason=reason,
        attempt=attempt,
        not_before=not_before,
    )


def evolve(task: Task, event: object) -> Task:
    """Return the state after an event; defined for every stored event."""
    if isinstance(event, _Way):
        return _evolve_way(task, event)
    if isinstance(event, _End):
        return _evolve_end(task, event)
    return task


_Way = ev.TaskQueued | ev.TaskLeased | ev.TaskStarted | ev.TaskCancellationRequested
_End = ev.TaskLeaseExpired | ev.TaskRequeued | ev.TaskSucceeded | ev.TaskFailed | ev.TaskCanceled
TaskEvent = _Way | _End
"""Every event of a task."""


def _evolve_way(task: Task, event: _Way) -> Task:
    match event:
        case ev.TaskQueued():
            return Task(Phase.QUEUED, _spec(event), attempt=event.attempt)
        case ev.TaskLeased():
            return replace(
                task,
                phase=Phase.LEASED,
                lease=event.lease,
                worker=event.worker,
                until=event.until,
                ended_by=None,
            )
        case ev.TaskStarted():
            return replace(task, phase=Phase.RUNNING)
        case ev.TaskCancellationRequested():
            return replace(task, canceling=True)
        case _:
            assert_never(event)


def _evolve_end(task: Task, event: _End) -> Task:
    match event:
        case ev.TaskLeaseExpired():
            return replace(task, ended_by="Expire")
        case ev.TaskRequeued():
            return replace(
                task,
                phase=Phase.QUEUED,
                attempt=event.attempt,
                not_before=event.not_before,
                worker=None,
                until=None,
                ended_by=task.ended_by or "Release",
            )
        case ev.TaskSucceeded():
            return replace(task, phase=Phase.SUCCEEDED, ended_by="Succeed")
        case ev.TaskFailed():
            phase = Phase.FAILED if event.final else task.phase
            return replace(task, phase=phase, ended_by=task.ended_by or "Fail")
        case ev.TaskCanceled():
            return replace(task, phase=Phase.CANCELED, ended_by=task.ended_by or "ConfirmCancel")
        case _:
            assert_never(event)


def _spec(event: ev.TaskQueued) -> Spec:
    return Spec(
        job_id=event.job_id,
        index=event.index,
        owner=event.owner,
        resource_class=event.resource_class,
        engine=event.engine,
        input_ref=event.input_ref,
        primaries=event.primaries,
        seed=event.seed,
        max_attempts=event.max_attempts,
    )


TASK: Aggregate[Task] = Aggregate("runner", "task", Task(), decide, evolve)
"""A task that was queued by an event of its own, as former releases did."""


def task_of(spec: Spec, *, withdrawn: bool = False) -> Aggregate[Task]:
    """Return the aggregate of a task that its job's set has queued, or has ``withdrawn`` again."""
    phase = Phase.CANCELED if withdrawn else Phase.QUEUED
    return replace(TASK, initial=Task(phase, spec, attempt=1))
