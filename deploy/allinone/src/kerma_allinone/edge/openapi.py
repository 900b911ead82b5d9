"""The REST interface of all services as one OpenAPI document.

It is derived from the routes themselves: services are wired but not started, and nothing is
connected. Internal paths are left out, since no gateway passes them on.
"""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.openapi.utils import get_openapi

from kerma_allinone.assembly import SERVICES
from kerma_allinone.edge.unconnected import application, public_routes
from kerma_common.http.policy import Access, declared
from kerma_common.http.statuses import MEANINGS, statuses_of

OPENAPI = "openapi/kerma.json"
"""Path of the document below ``docs``."""

_BODY = {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope"}}}
_COMPONENTS = {
    "schemas": {
        "Envelope": {
            "type": "object",
            "required": ["message"],
            "properties": {"message": {"type": "string", "description": "Plain text."}},
            "additionalProperties": True,
        }
    },
    "securitySchemes": {
        "cookie": {"type": "apiKey", "in": "cookie", "name": "access_token"},
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    },
}
_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.TOKEN: [{"cookie": []}, {"bearer": []}],
    Access.BEARER: [{"bearer": []}],
}


def openapi_document() -> bytes:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for name in SERVICES:
        for path, operations in _paths(name).items():
            paths.setdefault(path, {}).update(operations)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Kerma",
            "version": "1",
            "description": "REST interface of all services, as a gateway shows it.",
        },
        "paths": dict(sorted(paths.items())),
        "components": _COMPONENTS,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _paths(name: str) -> dict[str, dict[str, Any]]:
    routes = public_routes(application(name))
    made = get_openapi(title=name, version="1", routes=routes)["paths"]
    for route in routes:
        for method in route.methods or ():
            operation = made[route.path][method.lower()]
            policy = declared(route.endpoint)
            operation["tags"] = [name]
            operation["security"] = _SECURITY[policy.access] if policy else []
            operation["responses"] = {str(code): _response(code) for code in statuses_of(route)}
    return dict(made)


def _response(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {"description": MEANINGS[status]}
    return described if status == 304 else {**described, "content": _BODY}


def routes_of(name: str) -> list[str]:
    """Return the routes of a service as `METHOD /path`, by path, without those for operators."""
    found = [
        (route.path, method)
        for route in public_routes(application(name))
        for method in route.methods or ()
    ]
    return [f"{method} {path}" for path, method in sorted(found)]
