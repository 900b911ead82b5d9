"""The REST interface of all services as one OpenAPI document.

It is derived from the routes themselves: services are wired but not started, and nothing is
connected. Internal paths are left out, since no gateway passes them on.
"""

from __future__ import annotations

from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from nats.aio.client import Client
from pydantic import SecretStr

from kerma_allinone.assembly import SERVICES
from kerma_allinone.edge.routing import INTERNAL, service_of
from kerma_auth.main import AuthSettings
from kerma_auth.main import build as build_auth
from kerma_common.blobs.store import open_blobs
from kerma_common.clock import system_clock
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.db.connections import open_connections
from kerma_common.db.engine import create_engine
from kerma_common.db.reads import open_reads
from kerma_common.errors import ContractViolation
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.http.policy import Access, declared
from kerma_common.http.statuses import MEANINGS, statuses_of
from kerma_common.infra import Infra
from kerma_common.security.identity import Identity
from kerma_common.security.verifier import TokenVerifier
from kerma_common.settings import BlobSettings, HttpSettings, PgSettings

OPENAPI = "openapi/kerma.json"
"""Path of the document below ``docs``."""

_NOBODY = PgSettings.model_construct(url=SecretStr("postgresql://nobody@localhost/none"))
_UNUSED_KEY = SecretStr("A" * 43 + "=")
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
    """Return the document. Raises ContractViolation for a route that no gateway reaches."""
    paths: dict[str, dict[str, Any]] = {}
    for name in SERVICES:
        for path, operations in _paths(name).items():
            if service_of(path) != name:
                raise ContractViolation(f"{path} of {name} is routed to {service_of(path)}")
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
    routes = [
        route
        for route in _app(name).routes
        if isinstance(route, APIRoute) and not route.path.startswith(INTERNAL)
    ]
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
        for route in _app(name).routes
        if isinstance(route, APIRoute) and not route.path.startswith(INTERNAL)
        for method in route.methods or ()
    ]
    return [f"{method} {path}" for path, method in sorted(found)]


def _app(name: str) -> FastAPI:
    build = SERVICES[name].build
    if name == "auth":
        build = partial(build_auth, own=AuthSettings(master_key=_UNUSED_KEY))
    with TemporaryDirectory(prefix="kerma-docs-") as folder:
        app = build(HttpSettings.model_construct(), _unconnected(name, folder)).asgi
    assert isinstance(app, FastAPI)
    return app


def _unconnected(name: str, folder: str) -> Infra:
    nats, log = Client(), MemoryLog()
    db = create_engine(_NOBODY, "docs", name)
    return Infra(
        service=name,
        nats=nats,
        log=log,
        bus=CommandBus(log, name),
        db=db,
        blobs=open_blobs(BlobSettings.model_construct(url=f"file://{folder}")),
        positions=Positions(name),
        verifier=TokenVerifier(Identity()),
        clock=system_clock,
        reads=open_reads(_NOBODY, "docs", name),
        writers=open_connections(_NOBODY, "docs", 1),
        roles=frozenset({"api"}),
    )
