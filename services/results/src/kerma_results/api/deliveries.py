"""``POST /results`` and ``POST /logfiles``: what scripts on clusters deliver.

Their only credential is the update key in the body.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.commands.consistency import Positions
from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.answers import answer
from kerma_common.http.body.coding import is_gzip
from kerma_common.http.body.heads import MOST
from kerma_common.http.body.json_body import Unparsed
from kerma_common.http.body.limits import Body, takes
from kerma_common.http.edge import request_id
from kerma_common.http.policy import public
from kerma_common.http.refusals.statuses import Body as Described
from kerma_common.http.refusals.statuses import answers, envelope
from kerma_common.http.route import KermaRoute
from kerma_results.api.reading import DeliveryReader
from kerma_results.app.deliveries import Deliveries
from kerma_results.app.log_deliveries import FIELD, LogDeliveries
from kerma_results.read.project import RESULTS

LOG_KEYS = ("simulation_id", "update_key", FIELD)
HEAD = 2048
FED_AT_ONCE = 512 << 10
"""Bytes of a body that are passed on at a time."""


class DeliveredResults(BaseModel):
    """The body of ``POST /results``, for the OpenAPI document: it is never parsed as a whole."""

    model_config = ConfigDict(extra="forbid")

    simulation_id: int
    update_key: str
    estimators: list[dict[str, Any]]


class DeliveredLogfiles(BaseModel):
    """The body of ``POST /logfiles``, for the OpenAPI document."""

    model_config = ConfigDict(extra="forbid")

    simulation_id: int
    update_key: str
    logfiles: dict[str, str]


_KEY = {"simulation_id": 4, "update_key": "<key>"}
_PAGE = {
    "dimensions": 1,
    "data": {"name": "DOSE", "unit": "MeV/g", "values": [0.0, 0.5]},
    "axis_dim1": {"name": "Position (Z)", "unit": "cm", "values": [0.25, 0.75]},
    "metadata": {"page_number": "0", "name": "DOSE"},
}
_ESTIMATOR = {"name": "z_profile_", "metadata": {"mc_code_version": "v1"}, "pages": [_PAGE]}
_RESULTS = Described(DeliveredResults, {**_KEY, "estimators": [_ESTIMATOR]})
_LOGFILES = Described(DeliveredLogfiles, {**_KEY, "logfiles": {"shieldhit_0001.log": "text"}})


def routes(
    deliveries: Deliveries, logs: LogDeliveries, reader: DeliveryReader, positions: Positions
) -> APIRouter:
    """Return the routes; they answer once reads show what was delivered."""
    router = APIRouter(route_class=KermaRoute)

    async def seen(seq: int) -> dict[str, str]:
        await positions.wait(RESULTS.name, "RESULTS", seq)
        return {"Kerma-Position": f"RESULTS={seq}"}

    @router.post("/results")
    @takes(Body.STREAM)
    @public()
    @answers(202, 409, 413, 429, takes=_RESULTS, shows=envelope("Results saved"))
    async def post_results(request: Request) -> Response:
        seq = await deliveries.accept(
            _pieces(request), gzipped=is_gzip(request.scope), request_id=request_id()
        )
        return answer("Results saved", 202, headers=await seen(seq))

    @router.post("/logfiles")
    @takes(Body.WHOLE)
    @public()
    @answers(202, 409, 413, takes=_LOGFILES, shows=envelope("Log files saved"))
    async def post_logfiles(request: Request) -> Response:
        body = await reader.read(request)
        _require_keys(body)
        seq = await logs.accept(
            body["simulation_id"], body["update_key"], _as_json(body[FIELD]), request_id()
        )
        return answer("Log files saved", 202, headers=await seen(seq))

    return router


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in larger pieces than it comes in: each is a message to another process."""
    held: list[bytes] = []
    arrived = size = 0
    async for piece in request.stream():
        held.append(piece)
        size += len(piece)
        arrived += len(piece)
        # the beginning in small ones: it holds the key
        if size >= (HEAD if arrived <= MOST else FED_AT_ONCE):
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _require_keys(body: Mapping[str, Any]) -> None:
    """Raise InvalidRequest unless a body has exactly the members of a log."""
    reasons = {key: ["Unknown field."] for key in body if key not in LOG_KEYS}
    reasons |= {key: ["Missing data for required field."] for key in LOG_KEYS if key not in body}
    if reasons:
        raise InvalidRequest(WRONG_DATA, reasons)


def _as_json(logfiles: object) -> bytes:
    if isinstance(logfiles, Unparsed):
        return logfiles.json
    return orjson.dumps(logfiles, option=orjson.OPT_SORT_KEYS)
