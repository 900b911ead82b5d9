"""The result set of a job: opened, merged in up to three attempts, published or failed.

NONE -> OPEN -> MERGING(attempt) -> COMPLETE (-> published) or FAILED; any -> DELETED. Results of
another system go from NONE to COMPLETE.
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
)
from kerma_common.contracts.pages import PageMaterialised
from kerma_common.contracts.refs import Ref
from kerma_common.domain import Aggregate, Rejected

MAX_ATTEMPTS = 3


class Phase(StrEnum):
    """State of a result set in its life cycle."""

    NONE = "NONE"
    OPEN = "OPEN"
    MERGING = "MERGING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class ResultSet:
    """State of a result set; ``estimators`` by index, as last materialised."""

    phase: Phase = Phase.NONE
    job_id: str = ""
    partial: bool = False
    attempt: int = 0
    estimators: Mapping[int, EstimatorMaterialised] = field(default_factory=dict)
    completed: ResultSetCompleted | None = None
    published: bool = False


@dataclass(frozen=True, slots=True)
class OpenResultSet:
    """Open a result set to merge the outputs of ``tasks`` of ``expected`` tasks."""

    job_id: str
    owner: str
    tasks: int
    expected: int
    partial: bool


@dataclass(frozen=True, slots=True)
class StartMerge:
    """Begin an attempt, counted from 1."""

    attempt: int


@dataclass(frozen=True, slots=True)
class MaterialiseEstimator:
    """Record the stored pages of one estimator; see the event for ``manifest_ref``."""

    index: int
    name: str
    metadata_ref: Ref
    pages: tuple[PageMaterialised, ...]
    manifest_ref: Ref | None = None
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CompleteMerge:
    """Complete the merge: every estimator is materialised."""

    tasks_merged: int
    primaries_merged: int


@dataclass(frozen=True, slots=True)
class FailMerge:
    """Fail the result set: its outputs can never be merged."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PublishResultSet:
    """Publish the result set: users can read every page."""


@dataclass(frozen=True, slots=True)
class DeleteResultSet:
    """Delete the result set: users no longer see the results."""

    job_id: str


@dataclass(frozen=True, slots=True)
class ImportEstimators:
    """Record stored pages of another system; ``ImportResultSet`` follows."""

    job_id: str
    estimators: tuple[MaterialiseEstimator, ...]


@dataclass(frozen=True, slots=True)
class ImportResultSet:
    """Record stored pages of another system, the last ones of a job."""

    job_id: str
    owner: str
    estimators: tuple[MaterialiseEstimator, ...]
    tasks: int
    expected: int
    partial: bool


Events = tuple[object, ...]


ResultSetCommand = (
    OpenResultSet
    | StartMerge
    | MaterialiseEstimator
    | CompleteMerge
    | FailMerge
    | PublishResultSet
    | DeleteResultSet
    | ImportEstimators
    | ImportResultSet
)
ResultSetEvent = (
    ResultSetOpened
    | MergeStarted
    | EstimatorMaterialised
    | ResultSetCompleted
    | ResultSetFailed
    | ResultSetPublished
    | ResultSetDeleted
    | ResultSetImported
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
        case ResultSetDeleted():
            return replace(state, phase=Phase.DELETED, estimators={}, completed=None)
        case ResultSetImported():
            return replace(state, phase=Phase.COMPLETE, job_id=event.job_id, published=True)
        case _:
            assert_never(event)


RESULT_SET = Aggregate("results", "result_set", ResultSet(), decide, evolve)
