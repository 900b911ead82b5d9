"""Two replicas of auth and of jobs, and one of everything else, behind nginx."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import orjson

from kit.inputs.projects import submission
from kit.programs.family import START_SECONDS, eventually
from kit.running.apart import SERVICES, Apart, apart
from kit.running.clients.visitor import Visitor
from kit.running.network.nginx import nginx
from kit.running.worlds.services import prepare

TWICE = ("auth", "jobs")
SETTINGS = {
    "KERMA_HTTP_TRUSTED_PROXIES": "127.0.0.1",
    "KERMA_JOBS_QUOTAS": orjson.dumps(
        {"default": {"submissions_per_minute": 10**6, "active_jobs": 10**6}}
    ).decode(),
}


@dataclass
class Doubled:
    system: Apart
    url: str

    def replicas(self, service: str) -> list[str]:
        ports = (self.system.ports[service], self.system.ports[f"{service}.two"])
        return [f"http://127.0.0.1:{port}" for port in ports]

    def visitor(self) -> Visitor:
        return Visitor(self.url)

    def listeners(self, name: str) -> float:
        """Return how many streams of live updates a replica of jobs serves."""
        shown = httpx.get(f"http://127.0.0.1:{self.system.ports[name]}/internal/metrics").text
        line = next(li for li in shown.splitlines() if li.startswith("jobs_live_listeners "))
        return float(line.split()[-1])

    def stop(self, name: str, *, at_once: bool = False) -> None:
        """Stop a replica in order, or kill it."""
        program = self.system.programs[name]
        if at_once:
            program.kill()
        else:
            program.end()

    def resume(self, name: str) -> None:
        """Start a replica again and wait until it is ready."""
        self.system.start(name)
        eventually(partial(self.system._is_ready, name), START_SECONDS, name)

    def restart(self, name: str) -> None:
        """Stop a replica in order, start it again and wait until it is ready."""
        self.stop(name)
        self.resume(name)


def waiting() -> dict[str, object]:
    """Return a submission that waits, since there is no worker."""
    return {**submission(1000, 1), "wait_for_engine": True}


@contextmanager
def doubled(nats_url: str, postgres_url: str, folder: Path) -> Iterator[Doubled]:
    """Run all for the duration of the block."""
    asyncio.run(prepare(nats_url))
    with apart(folder, nats_url, postgres_url, **SETTINGS) as system:
        for name in SERVICES:
            system.start(name)
        system.ready()
        for service in TWICE:
            system.start(f"{service}.two")
        system.ready()
        urls = {name: [f"http://127.0.0.1:{system.ports[name]}"] for name in SERVICES}
        for service in TWICE:
            urls[service].append(f"http://127.0.0.1:{system.ports[f'{service}.two']}")
        with nginx(folder / "nginx", urls) as url:
            made = Doubled(system, url)
            made.visitor().enter().close()
            yield made
