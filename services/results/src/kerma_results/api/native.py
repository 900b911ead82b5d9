"""Results and logs below ``/v1/jobs``. Pages are those of ``GET /results``."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

import orjson
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from kerma_common.errors import WRONG_PARAMETERS, InvalidRequest, NotFound
from kerma_common.http.native import page, require_json, resource
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated
from kerma_common.http.refusals.statuses import Body, answers
from kerma_common.http.route import KermaRoute
from kerma_common.precedence import give_way
from kerma_results.api import layout
from kerma_results.api.access import Access
from kerma_results.api.stitched import reads_whole, stitched
from kerma_results.app.logs import Logs
from kerma_results.pages.selection import LARGEST, parse_page_numbers
from kerma_results.read.queries import Chosen, StoredEstimator

JobId = Annotated[str, Path(max_length=200, description="The `id` of a job.")]
Number = Annotated[int, Path(ge=0, le=LARGEST)]


class PageEntry(TypedDict):
    """A page without its values."""

    number: int
    name: str
    dimensions: int


class EstimatorEntry(TypedDict):
    """An estimator without its values, in the order of the project's outputs."""

    number: int
    name: str
    metadata: dict[str, str]
    pages: list[PageEntry]


class EstimatorList(TypedDict):
    """All estimators; ``next`` is always null."""

    items: list[EstimatorEntry]
    next: str | None


class Axis(TypedDict):
    """An axis of bins; values are their centres."""

    name: str
    unit: str
    values: list[float | None]
    edges: NotRequired[list[float | None]]
    binning: NotRequired[str]


class Values(TypedDict):
    """Values of all bins, the first axis fastest; ``errors`` are standard errors."""

    name: str
    unit: str
    values: list[float | None]
    errors: NotRequired[list[float | None]]
    error_kind: NotRequired[str]
    degrees_of_freedom: NotRequired[float | None]


class PageView(TypedDict):
    """One scored quantity with its axes, of which there are ``dimensions``."""

    dimensions: int
    data: Values
    metadata: dict[str, str]
    axis_dim1: NotRequired[Axis]
    axis_dim2: NotRequired[Axis]
    axis_dim3: NotRequired[Axis]


class EstimatorView(TypedDict):
    """An estimator with its pages."""

    number: int
    name: str
    metadata: dict[str, str]
    pages: list[PageView]


class LogEntry(TypedDict):
    """A text that a task or a cluster left, or that says why the job failed."""

    name: str
    text: str


class LogList(TypedDict):
    """Logs, those of failed attempts first; ``next`` is always null."""

    items: list[LogEntry]
    next: str | None


_PAGE = {
    "dimensions": 1,
    "data": {
        "name": "DOSE",
        "unit": "MeV/g",
        "values": [0.5, 0.25],
        "errors": [0.01, 0.02],
        "error_kind": "standard_error",
    },
    "metadata": {"page_number": "0", "name": "DOSE", "dettyp": "DOSE", "unit": "MeV/g"},
    "axis_dim1": {
        "name": "Position (Z)",
        "unit": "cm",
        "values": [0.5, 1.5],
        "edges": [0.0, 1.0, 2.0],
        "binning": "linear",
    },
}
_HEAD = {"number": 0, "name": "z_profile", "metadata": {"primaries": "1000", "partial": "false"}}
ESTIMATORS = Body(
    EstimatorList,
    {
        "items": [{**_HEAD, "pages": [{"number": 0, "name": "DOSE", "dimensions": 1}]}],
        "next": None,
    },
)
ESTIMATOR = Body(EstimatorView, {**_HEAD, "pages": [_PAGE]})
PAGE = Body(PageView, _PAGE)
LOGS = Body(
    LogList,
    {
        "items": [{"name": "task-0000-attempt-1-stdout.txt", "text": "Run terminated.\n"}],
        "next": None,
    },
)


def routes(access: Access, logs: Logs) -> APIRouter:
    """Return all routes."""
    api = APIRouter(route_class=KermaRoute, prefix="/v1/jobs/{job_id}")
    _add_list(api, access)
    _add_estimator(api, access)
    _add_page(api, access)
    _add_logs(api, access, logs)
    return api


def _add_list(api: APIRouter, access: Access) -> None:
    @api.get("/results")
    @authenticated()
    @answers(200, 304, 404, shows=ESTIMATORS)
    async def list_estimators(
        job_id: JobId, request: Request, principal: CurrentPrincipal
    ) -> Response:
        found = await access.results(job_id, principal, Chosen())
        return resource(request, page([_entry(estimator) for estimator in found], None))


def _entry(estimator: StoredEstimator) -> dict[str, Any]:
    return {
        "number": estimator.index,
        "name": estimator.name,
        "metadata": orjson.Fragment(estimator.metadata),
        "pages": [
            {"number": page.number, "name": page.name, "dimensions": page.dimension}
            for page in estimator.pages
        ],
    }


def _add_estimator(api: APIRouter, access: Access) -> None:
    @api.get("/results/estimators/{estimator}")
    @authenticated()
    @answers(200, 304, 404, 406, shows=ESTIMATOR)
    async def get_estimator(
        job_id: JobId,
        estimator: Number,
        request: Request,
        principal: CurrentPrincipal,
        pages: Annotated[
            str | None, Query(max_length=4000, description="Pages to show, such as `0-1,3`.")
        ] = None,
    ) -> Response:
        require_json(request)
        found = await _estimator(
            access, job_id, principal, Chosen(index=estimator, pages=_ranges(pages))
        )
        return await stitched(request, access.queries, job_id, layout.native_estimator(found))


def _add_page(api: APIRouter, access: Access) -> None:
    @api.get("/results/estimators/{estimator}/pages/{number}")
    @authenticated()
    @answers(200, 304, 404, 406, shows=PAGE)
    async def get_page(
        job_id: JobId,
        estimator: Number,
        number: Number,
        request: Request,
        principal: CurrentPrincipal,
    ) -> Response:
        require_json(request)
        chosen = Chosen(index=estimator, pages=((number, number),), whole=reads_whole(request))
        found = await _estimator(access, job_id, principal, chosen)
        if not found.pages:
            raise NotFound("The estimator has no page with this number")
        return await stitched(
            request, access.queries, job_id, layout.native_page(found, found.pages[0])
        )


async def _estimator(
    access: Access, job_id: str, principal: Principal, chosen: Chosen
) -> StoredEstimator:
    for estimator in await access.results(job_id, principal, chosen):
        return estimator
    raise NotFound("The job has no results of an estimator with this number")


def _ranges(pages: str | None) -> tuple[tuple[int, int], ...] | None:
    if pages is None:
        return None
    try:
        return parse_page_numbers(pages)
    except ValueError as error:
        raise InvalidRequest(WRONG_PARAMETERS, {"pages": [str(error)]}) from error


def _add_logs(api: APIRouter, access: Access, logs: Logs) -> None:
    @api.get("/logs")
    @authenticated()
    @answers(200, 304, 404, shows=LOGS)
    async def list_logs(job_id: JobId, request: Request, principal: CurrentPrincipal) -> Response:
        await access.require_owner(job_id, principal)
        shown = []
        for name, text in (await logs.texts(job_id)).items():
            shown.append(orjson.Fragment(orjson.dumps({"name": name, "text": text})))
            await give_way()
        return resource(request, page(shown, None))
