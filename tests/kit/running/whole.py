"""``kerma up`` as a child process on a data directory that outlives it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from kerma_allinone.running import NotRunningError, Running, read_running
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

SHORT_LEASES = {"KERMA_RUNNER_LEASE_SECONDS": "4", "KERMA_RUNNER_HEARTBEAT_SECONDS": "1"}


@dataclass
class Whole:
    """At most one ``kerma up`` at a time on ``data``."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    program: Program | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def running(self) -> Running:
        """Return its report of what is running."""
        return read_running(self.data)

    @property
    def place(self) -> Place:
        settings = self.running.settings
        nats_url = Path(settings["KERMA_NATS_URL_FILE"]).read_text()
        return Place(nats_url, settings["KERMA_BLOB_URL"])

    def start(self, data: Path | None = None, port: int = 0, /, **changes: str) -> Program:
        """Start without waiting; ``changes`` are environment variables."""
        return Program.start(
            [*KERMA, "up", "--data", str(data or self.data), "--port", str(port), *self.options],
            self.folder / f"up-{len(list(self.folder.iterdir()))}.log",
            environment(**self.settings, **changes),
            self.folder,
        )

    def up(self, **changes: str) -> Program:
        """Start and wait until everything answers."""
        program = self.program = self.start(None, **changes)
        eventually(lambda: self._answers(program), START_SECONDS, "kerma up")
        return program

    def _answers(self, program: Program) -> bool:
        assert program.alive, program.said[-3000:]
        try:
            return self.running.pid == program.process.pid
        except NotRunningError:
            return False

    def visitor(self) -> Visitor:
        return Visitor(self.running.url)

    def child(self, marker: str, *former: int) -> psutil.Process | None:
        """Return the direct child whose command line holds ``marker``, excluding ``former``."""
        assert self.program is not None
        for child in psutil.Process(self.program.process.pid).children():
            with suppress(psutil.Error):
                told = any(marker in word for word in child.cmdline())
                if told and child.pid not in former:
                    return child
        return None

    def nobody_left(self, within: float = PATIENCE) -> None:
        """Wait until no process of this folder is left."""
        eventually(lambda: not processes_in(self.folder), within, f"no process in {self.folder}")

    def kill_everything(self) -> None:
        """Kill all processes, as a power failure would, except that the page cache survives."""
        assert self.program is not None
        kill_in(self.folder)
        self.program.process.wait()


@contextmanager
def whole(*options: str, **settings: str) -> Iterator[Whole]:
    """Return a Kerma in a folder that other users, unlike in pytest's, may enter.

    ``options`` are those of ``kerma up``, ``settings`` environment variables.
    """
    folder = Path(tempfile.mkdtemp(prefix="kerma-whole-"))
    folder.chmod(0o711)
    made = Whole(folder, settings, options)
    try:
        yield made
    finally:
        if made.program is not None:
            made.kill_everything()
        shutil.rmtree(folder)
