"""The application of each service, wired but not started: nothing is connected.

Documents and the table of routes are derived from it.
"""

from __future__ import annotations

from functools import lru_cache, partial
from tempfile import TemporaryDirectory

from fastapi import FastAPI
from fastapi.routing import APIRoute
from nats.aio.client import Client
from pydantic import SecretStr

from kerma_allinone.assembly import SERVICES
from kerma_auth.main import build as build_auth
from kerma_auth.settings import AuthSettings
from kerma_common.blobs.store import open_blobs
from kerma_common.clock import system_clock
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.db.connections import open_connections
from kerma_common.db.engine import create_engine
from kerma_common.db.reads import open_reads
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.infra import Infra
from kerma_common.security.identity import Identity
from kerma_common.security.verifier import TokenVerifier
from kerma_common.settings import BlobSettings, HttpSettings, PgSettings

_NOBODY = PgSettings.model_construct(url=SecretStr("postgresql://nobody@localhost/none"))
_UNUSED_KEY = SecretStr("A" * 43 + "=")
_INTERNAL = "/internal"


def public_routes(app: FastAPI) -> list[APIRoute]:
    """Return the routes of an application, without those for operators."""
    return [
        route
        for route in app.routes
        if isinstance(route, APIRoute) and not route.path.startswith(_INTERNAL)
    ]


@lru_cache
def application(name: str) -> FastAPI:
    """Return the application of a service."""
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
