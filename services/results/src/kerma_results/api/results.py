"""``GET /results`` in its four shapes, ``GET /results/partial`` and ``GET /estimators``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.errors import WRONG_PARAMETERS, InvalidRequest, NotFound
from kerma_common.http.answers import answer
from kerma_common.http.policy import CurrentPrincipal, Principal, authenticated
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.http.route import KermaRoute
from kerma_results.api import layout
from kerma_results.api.access import Access, JobIdParameter
from kerma_results.api.layout import Piece
from kerma_results.api.stitched import reads_whole, stitched
from kerma_results.pages.selection import LARGEST, parse_page_numbers
from kerma_results.read.queries import Chosen

_ENTRY = {"page_number": 0, "page_name": "DOSE", "page_dimension": 1}
ESTIMATORS = envelope(
    "Estimators of the job",
    estimators_metadata=[{"name": "z_profile", "pages_metadata": [_ENTRY]}],
)
NO_PARTIAL_RESULTS = (
    "The job has no partial results: results are made when its tasks have ended, and can be read once"
    " it is COMPLETED"
)


class Asked(BaseModel):
    """The results that a request asks for; page parameters count only with an estimator."""

    job_id: JobIdParameter
    estimator_name: str | None = None
    page_number: int | None = None
    page_numbers: str | None = None


def routes(access: Access) -> APIRouter:
    """Return the routes, which answer from the read model."""
    router = APIRouter(route_class=KermaRoute)

    @router.get("/results")
    @authenticated()
    @answers(200, 304, 404, shows=envelope("Results of the job", estimators=[]))
    async def results(
        request: Request, asked: Annotated[Asked, Query()], principal: CurrentPrincipal
    ) -> Response:
        pieces = await _pieces(access, asked, principal, whole=reads_whole(request))
        return await stitched(request, access.queries, asked.job_id, pieces)

    @router.get("/results/partial")
    @authenticated()
    @answers(404)
    async def partial(asked: Annotated[Asked, Query()], principal: CurrentPrincipal) -> Response:
        await access.require_owner(asked.job_id, principal)
        raise NotFound(NO_PARTIAL_RESULTS)

    @router.get("/estimators")
    @authenticated()
    @answers(200, 404, shows=ESTIMATORS)
    async def estimators(job_id: JobIdParameter, principal: CurrentPrincipal) -> Response:
        found = await access.results(job_id, principal, Chosen())
        if not found:
            raise NotFound("The job has no results")
        listed = [
            {
                "name": estimator.name,
                "pages_metadata": [
                    {
                        "page_number": page.number,
                        "page_name": page.name,
                        "page_dimension": page.dimension,
                    }
                    for page in estimator.pages
                ],
            }
            for estimator in found
        ]
        return answer("Estimators of the job", estimators_metadata=listed)

    return router


async def _pieces(
    access: Access, asked: Asked, principal: Principal, *, whole: bool
) -> Sequence[Piece]:
    name = asked.estimator_name
    ranges = None if name is None else _ranges(asked)
    one = name is not None and asked.page_number is not None
    chosen = Chosen(name, pages=ranges, whole=whole and one)
    found = await access.results(asked.job_id, principal, chosen)
    if name is None:
        if not found:
            raise NotFound("The job has no results")
        return layout.whole(found, "Results of the job")
    if asked.page_number is None and ranges is not None:
        return layout.some_pages(found, "Pages of the estimator")
    if not found:
        raise NotFound("The job has no results of an estimator with this name")
    if asked.page_number is None:
        return layout.one_estimator(found[0], "Results of the estimator")
    if not found[0].pages:
        raise NotFound("The estimator has no page with this number")
    return layout.one_page(found[0], found[0].pages[0], "Page of the estimator")


def _ranges(asked: Asked) -> Sequence[tuple[int, int]] | None:
    """Return the numbers of the pages to answer with, None for all. Raises InvalidRequest."""
    number = asked.page_number
    if number is not None:
        return ((number, number),) if 0 <= number <= LARGEST else ()
    if asked.page_numbers is None:
        return None
    try:
        return parse_page_numbers(asked.page_numbers)
    except ValueError as error:
        raise InvalidRequest(WRONG_PARAMETERS, {"page_numbers": [str(error)]}) from error
