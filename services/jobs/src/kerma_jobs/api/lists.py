"""The list of the user's jobs, as the YAPTIDE UI expects it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from kerma_common.errors import WRONG_PARAMETERS, InvalidRequest
from kerma_common.http.answers import answer, http_date
from kerma_common.http.policy import CurrentPrincipal, authenticated
from kerma_common.http.refusals.statuses import answers
from kerma_jobs.api import shapes
from kerma_jobs.read.lists import ORDERS, JobLists, ListedJob

STATES = frozenset(
    [
        "PENDING",
        "RUNNING",
        "MERGING_QUEUED",
        "MERGING_RUNNING",
        "COMPLETED",
        "FAILED",
        "CANCELED",
        "UNKNOWN",
    ]
)
PAGE_SIZE = 6
PAGE_SIZE_INSTEAD_OF_LESS = 20
MAX_PAGE_SIZE = 1000
MAX_PAGE = 1_000_000


def add_simulations(api: APIRouter, lists: JobLists) -> None:
    """Add ``GET /user/simulations``."""

    @api.get("/user/simulations")
    @authenticated()
    @answers(200, shows=shapes.SIMULATIONS)
    async def simulations(
        principal: CurrentPrincipal,
        page_size: int = PAGE_SIZE,
        page_idx: int = 1,
        order_by: str = "start_time",
        order_type: str = "descend",
        job_state: str | None = None,
    ) -> Response:
        size = min(page_size, MAX_PAGE_SIZE) if page_size >= 1 else PAGE_SIZE_INSTEAD_OF_LESS
        page = min(max(page_idx, 1), MAX_PAGE)
        total, listed = await lists.page(
            principal.user_id,
            order_by=_order(order_by),
            descending=order_type == "descend",
            states=states_of("job_state", job_state),
            limit=size,
            offset=(page - 1) * size,
        )
        return answer(
            "Jobs of the user",
            page_count=-(-total // size),
            simulations_count=total,
            simulations=[_simulation(job) for job in listed],
        )


def _order(order_by: str) -> str:
    if order_by not in ORDERS:
        raise InvalidRequest(
            WRONG_PARAMETERS, {"order_by": [f"Must be one of: {', '.join(ORDERS)}."]}
        )
    return order_by


def states_of(parameter: str, listed: str | None) -> list[str] | None:
    """Return the states in a parameter. Raises InvalidRequest naming the parameter."""
    if listed is None:
        return None
    states = listed.split(",")
    if not set(states) <= STATES:
        known = ", ".join(sorted(STATES))
        raise InvalidRequest(WRONG_PARAMETERS, {parameter: [f"Must be a list of: {known}."]})
    return states


def _simulation(job: ListedJob) -> dict[str, Any]:
    """Return an entry without the keys of a status answer.

    The UI merges both, and the entry wins: a state in it would hide every later one. It shows each
    value of ``metadata``, so ``engine`` is there only when a substitute runs the job.
    """
    metadata = {
        "platform": job.platform,
        "server": "Yaptide",
        "input_type": job.input_kind,
        "sim_type": job.sim_type,
    }
    if job.engine != job.sim_type:
        metadata["engine"] = f"{job.engine} {job.engine_version}".rstrip()
    return {
        "job_id": job.job_id,
        "title": job.title,
        "start_time": http_date(job.submitted_at),
        "end_time": http_date(job.ended_at),
        "metadata": metadata,
    }
