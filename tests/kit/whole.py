"""``kerma up`` as a child process on a data directory that outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from kerma_client.local import NotRunningError, Running, read_running
from kit.family import KERMA, START_SECONDS, Program, environment, eventually, processes_in
from kit.visitor import Visitor

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
        """What is running, by its own words."""
        return read_running(self.data)

    def start(self, data: Path | None = None, port: int = 0, /, **changes: str) -> Program:
        """Start without waiting; ``changes`` are variables of the environment."""
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

    def child(self, marker: str) -> psutil.Process:
        """The direct child whose command line holds ``marker``."""
        assert self.program is not None
        children = psutil.Process(self.program.process.pid).children()
        return next(c for c in children if any(marker in word for word in c.cmdline()))

    def nobody_left(self, within: float = 10.0) -> None:
        """Wait until no process of this folder is left."""
        eventually(lambda: not processes_in(self.folder), within, f"no process in {self.folder}")

    def kill_everything(self) -> None:
        """SIGKILL to every process at the same moment, as a power failure would."""
        for process in processes_in(self.folder):
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self.program is not None
        self.program.process.wait()
        self.nobody_left()


@contextmanager
def whole(*, options: tuple[str, ...] = (), **settings: str) -> Iterator[Whole]:
    """A folder for one Kerma that, unlike pytest's, other users may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="kerma-whole-"))
    folder.chmod(0o711)
    made = Whole(folder, settings, options)
    try:
        yield made
    finally:
        for process in processes_in(folder):
            process.kill()
        if made.program is not None:
            made.program.process.wait()
        made.nobody_left()
        shutil.rmtree(folder)
