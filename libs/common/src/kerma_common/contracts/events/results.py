"""Events of the results service: result sets and their content."""

from __future__ import annotations

from kerma_common.contracts.pages import PageMaterialised
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.registry import event
from kerma_common.contracts.upcasters import results as upcasters  # noqa: F401 - registers them


@event("results", "result_set")
class ResultSetOpened:
    """The outputs of these tasks are about to be merged, in this order."""

    job_id: str
    owner: str
    tasks: int
    expected: int
    partial: bool


@event("results", "result_set", public=True)
class MergeStarted:
    """A merge attempt is running."""

    job_id: str
    attempt: int


@event("results", "result_set", public=True, version=2)
class EstimatorMaterialised:
    """The merged pages of one estimator are stored.

    For an estimator with many pages, ``manifest_ref`` names a blob that lists them, and ``pages``
    is empty; the blob is a JSON array of objects as in ``pages``. ``stored_bytes`` counts all blobs
    of the estimator; 0 in events from before they were counted.
    """

    job_id: str
    index: int
    name: str
    metadata_ref: Ref
    pages: tuple[PageMaterialised, ...]
    manifest_ref: Ref | None
    stored_bytes: int = 0


@event("results", "result_set")
class ResultSetCompleted:
    """Every estimator is merged."""

    job_id: str
    estimators: int
    tasks_merged: int
    primaries_merged: int
    partial: bool


@event("results", "result_set")
class ResultsExpected:
    """Whoever runs the job outside of Kerma is to deliver its merged results."""

    job_id: str
    owner: str
    tasks: int


@event("results", "result_set", public=True)
class ResultsReceived:
    """The merged results of the job were delivered; ``digest`` is the same for the same results."""

    job_id: str
    digest: str
    tasks: int


@event("results", "result_set")
class ResultsRefused:
    """The job has ended without results: none are accepted any more."""

    job_id: str


@event("results", "job_log", public=True)
class LogReceived:
    """Whoever runs the job outside of Kerma delivered a log, the ``number``-th, from 1.

    The blob is a JSON object of texts by name.
    """

    job_id: str
    number: int
    log_ref: Ref


@event("results", "result_set", public=True)
class ResultSetFailed:
    """The outputs cannot be merged."""

    job_id: str
    code: str
    message: str


@event("results", "result_set", public=True)
class ResultSetPublished:
    """Users can read every page: the rows are committed."""

    job_id: str
    tasks_merged: int
    primaries_merged: int
    partial: bool


@event("results", "result_set", public=True)
class ResultSetDeleted:
    """The results are gone for users."""

    job_id: str


@event("results", "result_set")
class ResultSetImported:
    """Every estimator of a job that another system ran is stored; ``JobImported`` follows."""

    job_id: str
    owner: str
    estimators: int
    tasks: int
    expected: int
    partial: bool
