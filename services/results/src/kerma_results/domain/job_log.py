"""The logs that were delivered for a job: a bounded list that only grows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kerma_common.contracts.events.results import LogReceived
from kerma_common.contracts.refs import Ref
from kerma_common.domain import Aggregate, Rejected

MOST_LOGS = 100
MOST_BYTES = 64 << 20
"""Bytes of all logs of a job."""


@dataclass(frozen=True, slots=True)
class JobLog:
    """The logs so far."""

    refs: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class AppendLog:
    """Append a stored log."""

    job_id: str
    ref: Ref


def decide(state: JobLog, command: AppendLog) -> tuple[object, ...]:
    """Return the events of a command; equal logs are appended once. Raises Rejected."""
    if command.ref in state.refs:
        return ()
    if len(state.refs) == MOST_LOGS:
        raise Rejected("TOO_MANY_LOGS", f"The job has {MOST_LOGS} logs already")
    if sum(ref.size for ref in state.refs) + command.ref.size > MOST_BYTES:
        raise Rejected("TOO_LARGE_LOGS", f"The job would have more than {MOST_BYTES} bytes of logs")
    number = len(state.refs) + 1
    return (LogReceived(job_id=command.job_id, number=number, log_ref=command.ref),)


def evolve(state: JobLog, event: LogReceived) -> JobLog:
    """Return the state after an event."""
    return replace(state, refs=(*state.refs, event.log_ref))


JOB_LOG = Aggregate("results", "job_log", JobLog(), decide, evolve)
