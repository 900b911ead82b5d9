"""The route class of all services: policy first, then strict parameters, then the handler."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.errors import ContractViolation, InvalidRequest
from kerma_common.http.policy import declared
from kerma_common.http.problem import WRONG_PARAMETERS
from kerma_common.http.text import check_json

MOST_VALUES = 1_000_000
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?')
NOT_JSON = "The body is not valid JSON"
NOT_AN_OBJECT = "The body is not a JSON object"


class KermaRoute(APIRoute):
    """Route that checks policy and query parameters and reads JSON under any content type."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        inner = super().get_route_handler()
        policy = declared(self.endpoint)
        known = frozenset(_query_names(self.dependant))
        has_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            if policy is None:
                raise ContractViolation(f"no policy on {self.path}")
            edge = request.app.state
            request.state.principal = await policy.check(request, edge.verifier)
            if unknown := request.query_params.keys() - known:
                raise InvalidRequest(
                    WRONG_PARAMETERS, {name: ["Unknown field."] for name in unknown}
                )
            if has_body:
                request = _JsonRequest(_with_json_type(request.scope), request.receive)
                await request.read(edge.settings.json_depth)
            return await inner(request)

        return handle


class _JsonRequest(Request):
    """A request whose body is a JSON object of bounded depth."""

    async def read(self, depth_limit: int) -> None:
        """Parse the body; `json` returns the result later."""
        body = await self.body()
        if not body:
            raise InvalidRequest("The body is empty where JSON is expected")
        if more_values_than(body, MOST_VALUES):
            raise InvalidRequest(f"The body holds more than {MOST_VALUES} values")
        try:
            self._json = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise InvalidRequest(NOT_JSON) from None
        if not isinstance(self._json, dict):
            raise InvalidRequest(NOT_AN_OBJECT)
        if deeper_than(self._json, depth_limit):
            raise InvalidRequest(f"The body is nested deeper than {depth_limit} levels")
        if b"\\u0000" in body:
            check_json(self._json)


def more_values_than(body: bytes, limit: int) -> bool:
    """Return whether JSON holds more than `limit` values, each of which takes memory when parsed.

    Parsed values take twenty times their size. Every value but the first follows a comma, a colon
    or an opening bracket.
    """

    def signs(text: bytes) -> int:
        return sum(text.count(sign) for sign in (b",", b":", b"[", b"{"))

    return signs(body) > limit and signs(_STRING.sub(b"", body)) > limit


def deeper_than(value: object, limit: int) -> bool:
    """Return whether containers are nested more than `limit` levels deep."""
    level: list[Any] = [value]
    for _ in range(limit + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = []
        for item in containers:
            level.extend(item.values() if isinstance(item, dict) else item)
    return True


def assert_policies(app: FastAPI) -> None:
    """Raise `ContractViolation` naming each route that could be called without a policy."""
    naked = [
        f"{getattr(route, 'methods', None) or type(route).__name__} {getattr(route, 'path', '?')}"
        for route in app.router.routes
        if not isinstance(route, KermaRoute) or declared(route.endpoint) is None
    ]
    if naked:
        raise ContractViolation("routes without a policy: " + ", ".join(naked))


def _with_json_type(scope: Any) -> Any:
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}


def _query_names(dependant: Dependant) -> set[str]:
    """Return the query parameters of a handler and its dependencies."""
    names: set[str] = set()
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            names |= {
                model_field.alias or name for name, model_field in annotation.model_fields.items()
            }
        else:
            names.add(parameter.alias)
    for below in dependant.dependencies:
        names |= _query_names(below)
    return names
