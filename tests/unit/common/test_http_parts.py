"""Parts of the HTTP edge without an application."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import orjson
import pytest
from fastapi import APIRouter
from starlette.responses import Response

from kerma_common.errors import WRONG_DATA, ContractViolation, InvalidRequest, KermaError
from kerma_common.http.answers import answer, http_date
from kerma_common.http.app import create_app
from kerma_common.http.body.json_body import deeper_than
from kerma_common.http.policy import Principal, public
from kerma_common.http.refusals.handlers import STATUS, problem
from kerma_common.http.route import KermaRoute
from kerma_common.settings import HttpSettings


async def verify(token: str) -> Principal:
    return Principal(token, "s1")


def test_a_message_gives_the_first_reasons_and_their_number() -> None:
    many = {"input_json.beam": ["a", "b"], "x" * 500: ["y" * 500], "z": ["c", "d"]}
    message = orjson.loads(problem(InvalidRequest(WRONG_DATA, many)).body)["message"]
    assert message.startswith("Wrong data provided: input_json.beam: a; input_json.beam: b; xxx")
    assert message.endswith("yyy…; 2 more")
    assert len(message) < 400
    plain = InvalidRequest("Missing keys in JSON payload: title", {"title": ["Missing."]})
    assert orjson.loads(problem(plain).body)["message"] == plain.message


async def test_a_route_without_a_policy_prevents_the_start() -> None:
    async def health() -> Mapping[str, str]:
        return {}

    strict, plain = APIRouter(route_class=KermaRoute), APIRouter()

    async def naked() -> Response:
        return answer("open")

    strict.get("/naked")(naked)

    @plain.get("/plain")
    @public()
    async def unchecked() -> Response:
        return answer("declared, but this route class does not look")

    for router, path in ((strict, "/naked"), (plain, "/plain")):
        with pytest.raises(ContractViolation, match=path):
            create_app(
                "test", verifier=verify, health=health, settings=HttpSettings(), routers=[router]
            )


def test_dates_are_http_dates() -> None:
    moment = datetime(2026, 11, 22, 3, 25, 56, 900, tzinfo=timezone(timedelta(hours=2)))
    assert http_date(moment) == "Sun, 22 Nov 2026 01:25:56 GMT"
    assert http_date(None) is None


def test_every_error_family_has_a_status() -> None:
    families = {f for f in KermaError.__subclasses__() if f.__module__ == KermaError.__module__}
    assert families <= set(STATUS)


@pytest.mark.parametrize(
    ("value", "depth"), [({}, 1), ({"a": 1}, 1), ({"a": [1]}, 2), ([[], [[{}]]], 4)]
)
def test_depth_counts_containers(value: object, depth: int) -> None:
    assert not deeper_than(value, depth)
    assert deeper_than(value, depth - 1)
