"""The readiness of all services of one process, on one path."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest
from starlette.responses import PlainTextResponse

from kerma_allinone.edge.health import WholeHealth
from kerma_allinone.edge.routing import LocalGateway
from kerma_common.http.app import create_app
from kerma_common.service import Service
from kerma_common.settings import HttpSettings


async def verifier(token: str) -> None:
    raise AssertionError(token)


def service(name: str, faults: Mapping[str, str]) -> Service:
    async def health() -> Mapping[str, str]:
        return faults

    return Service(name, PlainTextResponse(name), (), health)


async def readiness(faults: Mapping[str, Mapping[str, str]], worker: str | None) -> httpx.Response:
    services = [service(name, faults.get(name, {})) for name in ("auth", "jobs")]
    health = WholeHealth(services, lambda: worker)
    internal = create_app("kerma", verifier=verifier, health=health, settings=HttpSettings())  # type: ignore[arg-type]
    gateway = LocalGateway({s.name: s.asgi for s in services}, internal)
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/jobs")).text == "jobs"
        assert (await client.get("/internal/healthz")).status_code == 200
        return await client.get("/internal/readyz")


@pytest.mark.parametrize(
    ("faults", "worker", "told"),
    [
        ({"jobs": {"nats": "not connected"}}, None, {"jobs.nats": "not connected"}),
        ({}, "not running", {"worker": "not running"}),
        (
            {"auth": {"database": "OSError"}, "jobs": {"jobs": "has been failing"}},
            None,
            {"auth.database": "OSError", "jobs.jobs": "has been failing"},
        ),
    ],
)
async def test_what_is_not_ready_is_named(
    faults: Mapping[str, Mapping[str, str]], worker: str | None, told: Mapping[str, str]
) -> None:
    answer = await readiness(faults, worker)
    assert answer.status_code == 503
    assert answer.json() == {"message": "not ready", "faults": told}


async def test_ready_when_all_are() -> None:
    answer = await readiness({}, None)
    assert (answer.status_code, answer.json()) == (200, {"message": "ready"})
