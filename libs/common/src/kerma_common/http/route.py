"""The route class of all services: source, policy, strict parameters, then the handler."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.errors import WRONG_PARAMETERS, ContractViolation, InvalidRequest, TooLarge
from kerma_common.http.body.json_body import LARGE, parse
from kerma_common.http.body.limits import most_taken, taken
from kerma_common.http.body.reading import whole
from kerma_common.http.edge import announced_length
from kerma_common.http.origin import check_source
from kerma_common.http.policy import Access, declared


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
            limit = body_limit(self, request.app)
            if limit is not None and announced_length(request.scope) > limit:
                raise TooLarge(limit)
            check_source(request, edge.settings.origins)
            request.state.principal = await policy.check(request, edge.verifier)
            if unknown := request.query_params.keys() - known:
                raise InvalidRequest(
                    WRONG_PARAMETERS, {name: ["Unknown field."] for name in unknown}
                )
            if has_body:
                request = _JsonRequest(_with_json_type(request.scope), request.receive)
                await request.read()
                # the body may have come minutes later, after the caller was disabled or logged out
                request.state.principal = await policy.check(request, edge.verifier)
            return await inner(request)

        return handle


class _JsonRequest(Request):
    """A request whose body is a JSON object."""

    async def read(self) -> None:
        """Parse the body; `json` returns the result later. Raises TooLarge."""
        edge = self.app.state
        depth, principal = edge.settings.json_depth, self.state.principal
        small = edge.large_bodies is None or principal is None
        self._body = await whole(self, LARGE if small else edge.settings.body_limit)
        if len(self._body) <= LARGE:
            self._json = parse(self._body, depth)
        else:
            self._json = await edge.large_bodies(self._body, depth, principal)


def body_limit(route: APIRoute, app: FastAPI) -> int | None:
    """Return the most bytes of a route's body, None where only the limit of the edge counts.

    Gateways know these limits, and refuse larger bodies before they pass anything on.
    """
    if taken(route.endpoint) is not None:
        return most_taken(route.endpoint)
    if route.body_field is None or app.state.large_bodies is None:
        return LARGE
    # parsing elsewhere is dear, so it is for callers who are known
    policy = declared(route.endpoint)
    return LARGE if policy is not None and policy.access is Access.PUBLIC else None


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
