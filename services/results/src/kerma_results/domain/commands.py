"""Commands on the result set of a job."""

from __future__ import annotations

from dataclasses import dataclass

from kerma_common.contracts.pages import PageMaterialised
from kerma_common.contracts.refs import Ref


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
class ExpectResults:
    """Expect results of ``tasks`` tasks, which run outside of Kerma."""

    job_id: str
    owner: str
    tasks: int


@dataclass(frozen=True, slots=True)
class AcceptDelivery:
    """Complete the result set with delivered results, all of which are stored."""

    job_id: str
    digest: str
    estimators: tuple[MaterialiseEstimator, ...]
    tasks: int
    primaries: int


@dataclass(frozen=True, slots=True)
class RefuseResults:
    """Accept no results from now on, if none have been delivered."""

    job_id: str


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
    | ExpectResults
    | AcceptDelivery
    | RefuseResults
)
