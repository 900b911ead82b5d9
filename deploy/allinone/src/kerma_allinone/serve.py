"""Run one service alone, configured by the environment, as in a container.

Modules that only some services need are imported when those services start.
"""

from __future__ import annotations

import sys

import uvloop

from kerma_allinone.assembly import SERVICES
from kerma_common.garbage import collect_less
from kerma_common.infra import ALL_ROLES
from kerma_common.service import ServiceError, serve
from kerma_common.settings import (
    BlobSettings,
    HttpSettings,
    NatsSettings,
    PgSettings,
    TelemetrySettings,
    load,
)
from kerma_common.telemetry.logs import configure_logs
from kerma_common.telemetry.traces import configure_traces

NAMES = (*SERVICES, "worker", "gateway")


def run_serve(name: str, roles: frozenset[str]) -> None:
    """Run ``kerma serve``. Raises ServiceError or SettingsError, whose texts are for operators."""
    if name not in NAMES:
        raise ServiceError(f"{name} is not one of {', '.join(NAMES)}")
    if not roles or not roles <= ALL_ROLES:
        raise ServiceError(f"roles are some of {', '.join(sorted(ALL_ROLES))}")
    if name == "worker":
        from kerma_runner.worker.__main__ import main as run_worker

        run_worker()
        return
    telemetry = load(TelemetrySettings)
    configure_logs(name, telemetry.log_level, sys.stderr)
    shutdown_traces = configure_traces(name, telemetry.otlp_endpoint)
    try:
        uvloop.run(_gateway() if name == "gateway" else _service(name, roles))
    finally:
        shutdown_traces()


async def _service(name: str, roles: frozenset[str]) -> None:
    from kerma_allinone.infrastructure import open_infra

    part = SERVICES[name]
    part.load()
    collect_less()
    http = load(HttpSettings)
    async with open_infra(
        name,
        part.package,
        roles,
        nats=load(NatsSettings),
        postgres=load(PgSettings),
        blobs=load(BlobSettings),
    ) as infra:
        await serve(part.build(http, infra), http.host, http.port, settings=http)


async def _gateway() -> None:
    from kerma_allinone.edge.gateway import Gateway, GatewaySettings

    http = load(HttpSettings)
    async with Gateway(load(GatewaySettings), http.trusted_proxies, http.origins) as gateway:
        collect_less()
        await serve(gateway.service(), http.host, http.port, settings=http)
