"""The REST interface of all services as one OpenAPI document.

It is derived from the routes themselves: services are wired but not started, and nothing is
connected. Internal paths are left out, since no gateway passes them on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from kerma_allinone.assembly import SERVICES
from kerma_allinone.edge import headers
from kerma_allinone.edge.unconnected import application, public_routes
from kerma_common.errors import ContractViolation
from kerma_common.http.policy import Access, declared
from kerma_common.http.refusals.forms import PROBLEM_EXAMPLE, PROBLEM_MEDIA, Problem, is_native
from kerma_common.http.refusals.statuses import (
    EVENT_STREAM,
    MEANINGS,
    Body,
    bodies_of,
    statuses_of,
)

OPENAPI = "openapi/kerma.json"
"""Path of the document below ``docs``."""
SERVED = "services/auth/src/kerma_auth/api/openapi.json"
"""Path of its copy below the clone, which installed services serve."""

_JSON = "application/json"
_REF = "#/components/schemas/{model}"
_ENVELOPE = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string", "description": "Plain text."}},
    "additionalProperties": True,
}
_ENVELOPE_REF = {"$ref": _REF.format(model="Envelope")}
_FOUR_TWENTY_TWO = frozenset({"HTTPValidationError", "ValidationError"})
"""Components that FastAPI adds for a status that no route answers."""
_BEFORE_ROUTES = frozenset({408, 413, 431, 503})
"""Statuses that the server may answer before it knows the path, always as an envelope."""
_SECURITY_SCHEMES = {
    "cookie": {"type": "apiKey", "in": "cookie", "name": "access_token"},
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.TOKEN: [{"cookie": []}, {"bearer": []}],
    Access.BEARER: [{"bearer": []}],
}


@dataclass(frozen=True, slots=True)
class _Operation:
    """A method of a route of a service."""

    service: str
    route: APIRoute
    method: str

    @property
    def id(self) -> str:
        """A name for a client's function: that of the handler below ``/v1``, else of the path."""
        if is_native(self.route.path):
            return self.route.name
        words = [word.strip("{}") for word in self.route.path.split("/") if word]
        return "_".join(["yaptide", self.method, *words])

    @property
    def bodies(self) -> tuple[Body | None, Body | None]:
        """The bodies of the request and of success."""
        bodies = bodies_of(self.route)
        return bodies.takes, bodies.shows


def openapi_document() -> bytes:
    """Return the document. Raises ContractViolation for what would mislead its readers.

    That is an id that names two operations, a route that does not describe the body it takes, and
    one below ``/v1`` that does not describe what it shows.
    """
    found = {name: _routes(name) for name in SERVICES}
    operations = [operation for routes in found.values() for operation in _operations(routes)]
    _check(operations)
    components: dict[str, Any] = {"Envelope": _ENVELOPE}
    undescribed: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for name, routes in found.items():
        made = get_openapi(title=name, version="1", routes=[route for _, route in routes])
        for path, below in made["paths"].items():
            paths.setdefault(path, {}).update(below)
        undescribed |= made.get("components", {}).get("schemas", {})
    schemas = _schemas(operations, components)
    # ours win: FastAPI writes the same types a little differently
    for model in undescribed.keys() - components.keys() - _FOUR_TWENTY_TWO:
        components[model] = undescribed[model]
    for operation in operations:
        described = paths[operation.route.path][operation.method]
        _describe(described, operation, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Kerma",
            "version": "1",
            "description": "REST interface of all services, as a gateway shows it.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


_Routes = list[tuple[str, APIRoute]]


def _routes(name: str) -> _Routes:
    return [(name, route) for route in public_routes(application(name))]


def _operations(routes: _Routes) -> Iterator[_Operation]:
    for service, route in routes:
        for method in sorted(route.methods or ()):
            yield _Operation(service, route, method.lower())


def _check(operations: list[_Operation]) -> None:
    ids: dict[str, str] = {}
    for operation in operations:
        path = operation.route.path
        if (other := ids.setdefault(operation.id, path)) != path:
            raise ContractViolation(f"{operation.id} names operations of {other} and {path}")
        takes, shows = operation.bodies
        if takes is None and operation.route.body_field is not None:
            raise ContractViolation(f"{operation.id} does not describe what it takes")
        if is_native(path) and shows is None and bodies_of(operation.route).done != 204:
            raise ContractViolation(f"{operation.id} does not describe what it shows")


_Schemas = dict[int, Any]
"""Schemas by the identity of their `Body`."""


def _schemas(operations: list[_Operation], components: dict[str, Any]) -> _Schemas:
    """Return the schema of every described body; add what they refer to to the components."""
    taken = [body for operation in operations if (body := operation.bodies[0]) and body.type]
    shown = [body for operation in operations if (body := operation.bodies[1]) and body.type]
    shown.append(_PROBLEM)
    inputs: list[tuple[int, JsonSchemaMode, TypeAdapter[Any]]] = []
    inputs += [(id(body), "validation", TypeAdapter(body.type)) for body in taken]
    inputs += [(id(body), "serialization", TypeAdapter(body.type)) for body in shown]
    made, shared = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    components.update(shared.get("$defs", {}))
    return {key: schema for (key, _), schema in made.items()}


_PROBLEM = Body(Problem, PROBLEM_EXAMPLE, PROBLEM_MEDIA)


def _describe(described: dict[str, Any], operation: _Operation, schemas: _Schemas) -> None:
    policy = declared(operation.route.endpoint)
    takes, shows = operation.bodies
    described["operationId"] = operation.id
    described["tags"] = [operation.service]
    described["security"] = _SECURITY[policy.access] if policy else []
    if takes is not None:
        described["requestBody"] = {"required": True, "content": _content(takes, schemas)}
    done = bodies_of(operation.route).done
    responses: dict[str, Any] = {}
    statuses = statuses_of(operation.route)
    if conditional := headers.of_request(statuses):
        described["parameters"] = [*described.get("parameters", ()), *conditional]
    for status in statuses:
        response: dict[str, Any] = {"description": MEANINGS[status]}
        located = operation.id in _LOCATED
        if sent := headers.of_response(status, statuses, located=located):
            response["headers"] = sent
        if status == done and shows is not None:
            response["content"] = _content(shows, schemas)
        elif status not in _EMPTY:
            response["content"] = _refusals(operation.route.path, status, schemas)
        responses[str(status)] = response
    described["responses"] = responses


_EMPTY = frozenset({204, 304})
_LOCATED = frozenset({"submit_job", "create_user"})


def _refusals(path: str, status: int, schemas: _Schemas) -> dict[str, Any]:
    envelope = {
        _JSON: {
            "schema": _ENVELOPE_REF,
            "example": {"message": MEANINGS[status]},
        }
    }
    if not is_native(path):
        return envelope
    example = {**PROBLEM_EXAMPLE} if status == 400 else None
    problem: dict[str, Any] = {PROBLEM_MEDIA: {"schema": schemas[id(_PROBLEM)]}}
    if example:
        problem[PROBLEM_MEDIA]["example"] = example
    return {**problem, **(envelope if status in _BEFORE_ROUTES else {})}


def _content(body: Body, schemas: _Schemas) -> dict[str, Any]:
    schema = _ENVELOPE_REF if body.type is None else schemas[id(body)]
    if body.media == EVENT_STREAM:
        events = {"type": "array", "items": schema}
        schema = {"type": "string", "contentMediaType": EVENT_STREAM, "contentSchema": events}
    return {body.media: {"schema": schema, "example": body.example}}


def routes_of(name: str) -> list[str]:
    """Return the routes of a service as `METHOD /path`, by path, without those for operators."""
    found = [
        (route.path, method)
        for route in public_routes(application(name))
        for method in route.methods or ()
    ]
    return [f"{method} {path}" for path, method in sorted(found)]
