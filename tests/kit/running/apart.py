"""The services of a Kerma as separate ``kerma serve`` processes, on given servers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from kerma_allinone.children.process import free_port
from kit.events.chosen import Place
from kit.programs.family import (
    KERMA,
    PATIENCE,
    START_SECONDS,
    Program,
    environment,
    eventually,
    kill_in,
    processes_in,
)
from kit.running.clients.visitor import Visitor
from kit.running.worlds.services import MASTER_KEY

SERVICES = ("auth", "jobs", "runner", "results", "batch")
PROGRAMS = Path(__file__).parents[1] / "programs"


@dataclass
class Apart:
    """Programs by name: a service, ``gateway``, ``worker``, or a part such as ``jobs.process``."""

    folder: Path
    nats_url: str
    postgres_url: str
    settings: dict[str, str] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return Place(self.nats_url, f"file://{self.folder}/blobs")

    def start(self, name: str, roles: str = "", **changes: str) -> Program:
        """Start one, without waiting; on a restart it uses the same port."""
        port = self.ports.setdefault(name, free_port())
        service = name.partition(".")[0]
        command = [*KERMA, "serve", service, *(["--roles", roles] if roles else [])]
        return self._start(name, command, {"KERMA_HTTP_PORT": str(port), **changes})

    def start_program(self, name: str, script: str, *arguments: str, **changes: str) -> Program:
        """Start a test program in place of one of ours."""
        port = self.ports.setdefault(name, free_port())
        command = [sys.executable, str(PROGRAMS / script), *arguments]
        return self._start(name, command, {"KERMA_HTTP_PORT": str(port), **changes})

    def _start(self, name: str, command: list[str], changes: dict[str, str]) -> Program:
        variables = {
            "KERMA_NATS_URL": self.nats_url,
            "KERMA_PG_URL": self.postgres_url,
            "KERMA_BLOB_URL": self.place.blob_url,
            "KERMA_AUTH_MASTER_KEY": MASTER_KEY,
            "KERMA_WORKER_SLOTS": "2",
            "KERMA_WORKER_SCRATCH": str(self.folder / "scratch"),
            **{
                f"KERMA_GATEWAY_{service.upper()}": f"http://127.0.0.1:{self._port(service)}"
                for service in SERVICES
            },
        }
        program = Program.start(
            command,
            self.folder / f"{name}.log",
            environment(**{**variables, **self.settings, **changes}),
            self.folder,
        )
        self.programs[name] = program
        return program

    def _port(self, service: str) -> int:
        return self.ports.setdefault(service, free_port())

    def start_all(self) -> None:
        """Start five services, a worker and the gateway; return when they are ready."""
        for name in (*SERVICES, "gateway", "worker"):
            self.start(name)
        self.ready()

    def ready(self) -> None:
        """Wait until everything that answers requests is ready."""
        for name in self.programs:
            if name != "worker":
                eventually(partial(self._is_ready, name), START_SECONDS, name)

    def _is_ready(self, name: str) -> bool:
        program = self.programs[name]
        assert program.alive, program.said[-3000:]
        url = f"http://127.0.0.1:{self.ports[name]}/internal/readyz"
        if name == "gateway":
            url = f"http://127.0.0.1:{self.ports[name]}/"
        try:
            return httpx.get(url).status_code == 200
        except httpx.TransportError:
            return False

    def visitor(self) -> Visitor:
        return Visitor(f"http://127.0.0.1:{self.ports['gateway']}")

    def end(self) -> None:
        """Stop everything at once; every program must exit cleanly."""
        alive = [program for program in self.programs.values() if program.alive]
        for program in alive:
            program.process.terminate()
        for program in alive:
            program.ended()
        eventually(lambda: not processes_in(self.folder), PATIENCE, "all processes gone")


@contextmanager
def apart(folder: Path, nats_url: str, postgres_url: str, **settings: str) -> Iterator[Apart]:
    """Run programs for the duration of the block; ``settings`` are environment variables of all."""
    made = Apart(folder, nats_url, postgres_url, settings)
    try:
        yield made
    finally:
        kill_in(folder)
        for program in made.programs.values():
            program.process.wait()
