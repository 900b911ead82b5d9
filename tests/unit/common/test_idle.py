"""What a process without work does: as little as possible, and all at once."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from kerma_common import service
from kerma_common.clock import until_next
from kerma_common.http.server.connections import Connections
from kerma_common.settings import HttpSettings
from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.forks import shared
from kerma_sandbox.keeper import IDLE_SECONDS, QUIET_SECONDS, longest_pause
from kerma_sandbox.sandbox import Sandbox


def test_periodic_work_meets_whenever_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = set()
    for now in (3000.0, 3000.25, 3001.0, 3002.5):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        ends.add(now + until_next(3.0))
    assert ends == {3003.0}


async def test_an_idle_server_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "until_next", lambda _: 3600.0)

    async def app(_scope: object, _receive: object, _send: object) -> None:
        raise AssertionError

    async def health() -> dict[str, str]:
        return {}

    settings = HttpSettings()
    served = service.Service("idle", app, (), health)
    config = service._config(served, Connections(settings))
    with service._listening("127.0.0.1", 0) as listener:
        server = service._Server(config, listener, started=None)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0)
        server.leave()
        async with asyncio.timeout(30):
            await serving


def _longest(*, confines: bool, limits: Limits) -> float:
    confinement = Confinement(Path("/tmp"), confines=confines, limits=limits)
    return longest_pause(Sandbox().order([sys.executable], {}, confinement))


def test_only_a_nursery_without_a_limit_of_memory_is_looked_at_rarely() -> None:
    assert _longest(confines=True, limits=shared.limits([])) == IDLE_SECONDS
    assert _longest(confines=True, limits=Limits()) == QUIET_SECONDS
    # engines start processes
    assert _longest(confines=False, limits=shared.limits([])) == QUIET_SECONDS
