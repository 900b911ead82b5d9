"""The result set of a job: opened, merged in up to three attempts, published or failed.

NONE -> OPEN -> MERGING(attempt) -> COMPLETE (-> published) or FAILED; any -> DELETED. Results of
another system go from NONE to COMPLETE.

The results of a job that runs outside of Kerma are delivered instead, once: NONE -> EXPECTED ->
COMPLETE (-> published), or REFUSED when the job ends without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from kerma_common.contracts.events.results import (
    EstimatorMaterialised,
    MergeStarted,
    ResultSetCompleted,
    ResultSetDeleted,
    ResultSetFailed,
    ResultSetImported,
    ResultSetOpened,
    ResultSetPublished,
    ResultsExpected,
    ResultsReceived,
    ResultsRefused,
)
from kerma_common.domain import Aggregate, Rejected
from kerma_results.domain.commands import (
    AcceptDelivery,
    CompleteMerge,
    DeleteResultSet,
    ExpectResults,
    FailMerge,
    ImportEstimators,
    ImportResultSet,
    MaterialiseEstimator,
    OpenResultSet,
    PublishResultSet,
    RefuseResults,
    ResultSetCommand,
    StartMerge,
)

MAX_ATTEMPTS = 3


class Phase(StrEnum):
    """State of a result set in its life cycle."""

    NONE = "NONE"
    EXPECTED = "EXPECTED"
    REFUSED = "REFUSED"
    OPEN = "OPEN"
    MERGING = "MERGING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class ResultSet:
    """State of a result set; ``estimators`` by index, as last materialised.

    ``digest`` is that of delivered results.
    """

    phase: Phase = Phase.NONE
    job_id: str = ""
    partial: bool = False
    attempt: int = 0
    estimators: Mapping[int, EstimatorMaterialised] = field(default_factory=dict)
    completed: ResultSetCompleted | None = None
    published: bool = False
    digest: str = ""


Events = tuple[object, ...]


ResultSetEvent = (
    ResultSetOpened
    | MergeStarted
    | EstimatorMaterialised
    | ResultSetCompleted
    | ResultSetFailed
    | ResultSetPublished
    | ResultSetDeleted
    | ResultSetImported
    | ResultsExpected
    | ResultsReceived
    | ResultsRefused
)


def decide(state: ResultSet, command: ResultSetCommand) -> Events:
    """Return the events of a command. Raises Rejected for what the phase forbids."""
    match command:
        case OpenResultSet():
            return _open(command, state)
        case StartMerge():
            return _start(command, state)
        case MaterialiseEstimator():
            return _materialise(command, state)
        case CompleteMerge():
            return _complete(command, state)
        case FailMerge():
            return _fail(command, state)
        case PublishResultSet():
            return _publish(state)
        case DeleteResultSet():
            return _delete(state)
        case ImportEstimators() | ImportResultSet():
            return _import(command, state)
        case ExpectResults() | AcceptDelivery() | RefuseResults():
            return _delivered(command, state)
        case _:
            assert_never(command)


def _open(command: OpenResultSet, state: ResultSet) -> Events:
    if state.phase is not Phase.NONE:
        return ()
    if command.tasks < 1:
        raise Rejected("NOTHING_TO_MERGE", "no task of the job succeeded")
    return (
        ResultSetOpened(
            job_id=command.job_id,
            owner=command.owner,
            tasks=command.tasks,
            expected=command.expected,
            partial=command.partial,
        ),
    )


def _start(command: StartMerge, state: ResultSet) -> Events:
    if state.phase not in (Phase.OPEN, Phase.MERGING):
        raise _wrong_phase(state, "a merge cannot start")
    if command.attempt <= state.attempt:
        return ()
    if command.attempt > MAX_ATTEMPTS:
        message = f"the merge was given up after {MAX_ATTEMPTS} attempts"
        return (ResultSetFailed(job_id=state.job_id, code="MERGE_ABANDONED", message=message),)
    return (MergeStarted(job_id=state.job_id, attempt=command.attempt),)


def _materialise(command: MaterialiseEstimator, state: ResultSet) -> Events:
    if state.phase is Phase.COMPLETE:
        return ()
    if state.phase is not Phase.MERGING:
        raise _wrong_phase(state, "no merge is going on")
    event = _materialised(state.job_id, command)
    return () if state.estimators.get(command.index) == event else (event,)


def _materialised(job_id: str, command: MaterialiseEstimator) -> EstimatorMaterialised:
    return EstimatorMaterialised(
        job_id=job_id,
        index=command.index,
        name=command.name,
        metadata_ref=command.metadata_ref,
        pages=command.pages,
        manifest_ref=command.manifest_ref,
        stored_bytes=command.stored_bytes,
    )


def _complete(command: CompleteMerge, state: ResultSet) -> Events:
    if state.phase is Phase.COMPLETE:
        return ()
    if state.phase is not Phase.MERGING:
        raise _wrong_phase(state, "no merge is going on")
    return (
        ResultSetCompleted(
            job_id=state.job_id,
            estimators=len(state.estimators),
            tasks_merged=command.tasks_merged,
            primaries_merged=command.primaries_merged,
            partial=state.partial,
        ),
    )


def _fail(command: FailMerge, state: ResultSet) -> Events:
    if state.phase not in (Phase.OPEN, Phase.MERGING):
        return ()
    return (ResultSetFailed(job_id=state.job_id, code=command.code, message=command.message),)


def _publish(state: ResultSet) -> Events:
    done = state.completed
    if done is None or state.phase is not Phase.COMPLETE:
        raise _wrong_phase(state, "it cannot be published")
    if state.published:
        return ()
    return (
        ResultSetPublished(
            job_id=state.job_id,
            tasks_merged=done.tasks_merged,
            primaries_merged=done.primaries_merged,
            partial=done.partial,
        ),
    )


def _delete(state: ResultSet) -> Events:
    if state.phase in (Phase.NONE, Phase.DELETED):
        return ()
    return (ResultSetDeleted(job_id=state.job_id),)


def _import(command: ImportEstimators | ImportResultSet, state: ResultSet) -> Events:
    if state.phase is not Phase.NONE:
        return ()
    made = [_materialised(command.job_id, estimator) for estimator in command.estimators]
    new = tuple(event for event in made if state.estimators.get(event.index) != event)
    if isinstance(command, ImportEstimators):
        return new
    imported = ResultSetImported(
        job_id=command.job_id,
        owner=command.owner,
        estimators=len(state.estimators.keys() | {event.index for event in made}),
        tasks=command.tasks,
        expected=command.expected,
        partial=command.partial,
    )
    return (*new, imported)


def _delivered(command: ExpectResults | AcceptDelivery | RefuseResults, state: ResultSet) -> Events:
    match command:
        case ExpectResults():
            if state.phase is not Phase.NONE:
                return ()
            expected = ResultsExpected(
                job_id=command.job_id, owner=command.owner, tasks=command.tasks
            )
            return (expected,)
        case AcceptDelivery():
            return _accept(command, state)
        case RefuseResults():
            waits = state.phase is Phase.EXPECTED
            return (ResultsRefused(job_id=command.job_id),) if waits else ()
        case _:
            assert_never(command)


def _accept(command: AcceptDelivery, state: ResultSet) -> Events:
    check_delivery(state, command.digest)
    if state.phase is Phase.COMPLETE:
        return ()
    received = ResultsReceived(job_id=command.job_id, digest=command.digest, tasks=command.tasks)
    completed = ResultSetCompleted(
        job_id=command.job_id,
        estimators=len(command.estimators),
        tasks_merged=command.tasks,
        primaries_merged=command.primaries,
        partial=False,
    )
    stored = (_materialised(command.job_id, estimator) for estimator in command.estimators)
    return (received, *stored, completed)


def check_delivery(state: ResultSet, digest: str | None = None) -> None:
    """Raise Rejected if results, or those of a digest, are not accepted, not even as a repetition.

    NONE: the service has not got round yet to expecting them.
    """
    if state.phase in (Phase.NONE, Phase.EXPECTED):
        return
    if state.phase in (Phase.REFUSED, Phase.DELETED):
        raise Rejected("JOB_ENDED", "The job has ended without results and accepts none")
    if not state.digest:
        raise Rejected(state.phase.value, "The results of this job are merged by Kerma")
    if digest not in (None, state.digest):
        raise Rejected("RESULTS_DIFFER", "The job has other results already")


def _wrong_phase(state: ResultSet, what: str) -> Rejected:
    return Rejected(state.phase.value, f"the result set is {state.phase.value}: {what}")


def evolve(state: ResultSet, event: ResultSetEvent) -> ResultSet:
    """Return the state after an event."""
    match event:
        case ResultSetOpened():
            return ResultSet(Phase.OPEN, event.job_id, event.partial)
        case MergeStarted():
            return replace(state, phase=Phase.MERGING, attempt=event.attempt)
        case EstimatorMaterialised():
            return replace(state, estimators={**state.estimators, event.index: event})
        case ResultSetCompleted():
            return replace(state, phase=Phase.COMPLETE, completed=event)
        case ResultSetFailed():
            return replace(state, phase=Phase.FAILED)
        case ResultSetPublished():
            return replace(state, published=True)
        case ResultsExpected() | ResultsReceived() | ResultsRefused():
            return _evolve_delivered(state, event)
        case ResultSetDeleted():
            return replace(state, phase=Phase.DELETED, estimators={}, completed=None)
        case ResultSetImported():
            return replace(state, phase=Phase.COMPLETE, job_id=event.job_id, published=True)
        case _:
            assert_never(event)


def _evolve_delivered(
    state: ResultSet, event: ResultsExpected | ResultsReceived | ResultsRefused
) -> ResultSet:
    match event:
        case ResultsExpected():
            return ResultSet(Phase.EXPECTED, event.job_id)
        case ResultsReceived():
            return ResultSet(Phase.MERGING, event.job_id, digest=event.digest)
        case ResultsRefused():
            return replace(state, phase=Phase.REFUSED)
        case _:
            assert_never(event)


RESULT_SET = Aggregate("results", "result_set", ResultSet(), decide, evolve)
