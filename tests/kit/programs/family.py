"""Programs that tests start, and their descendants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")
LOOK_SECONDS = 0.05
START_SECONDS = 120.0
PATIENCE = 90.0
"""Bound of waits in seconds: reached only if a condition never becomes true."""

CONFINED = "kerma_runner.worker.confined.process"
"""The module of a worker's processes that parse and read files."""

KERMA = (sys.executable, "-m", "kerma_client.cli")


def eventually(found: Callable[[], T | None], within: float, what: str = "") -> T:
    """Return the first true answer of ``found``: for conditions that nothing announces to a test."""
    until = time.monotonic() + within
    while not (answer := found()):
        assert time.monotonic() < until, f"not within {within:.0f} s: {what or found}"
        time.sleep(LOOK_SECONDS)
    return answer


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child that finds the source of this repository."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **changes}


def runs(process: psutil.Process) -> bool:
    """Whether a process runs: one that has ended stays a zombie where no init reaps it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return living processes that work in ``folder`` or have it among their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            told = any(str(folder) in word for word in process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and (told or process.cwd().startswith(str(folder))):
                found.append(process)
        except psutil.Error:
            continue
    return found


def engines_in(scratch: Path) -> list[psutil.Process]:
    """Return processes that belong to engines of a worker, by its scratch folder.

    The worker's own confined processes, which parse and read files, work there as well.
    """
    return [found for found in processes_in(scratch) if not _is_own(found)]


def _is_own(process: psutil.Process) -> bool:
    try:
        return CONFINED in process.cmdline()
    except psutil.NoSuchProcess:
        return True


def kill_in(folder: Path) -> None:
    """SIGKILL every process of ``folder`` at the same time, and those that follow."""

    def none_left() -> bool:
        found = processes_in(folder)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not found

    eventually(none_left, PATIENCE, f"no process in {folder}")


@dataclass
class Program:
    """A started program; its output goes to a file."""

    process: subprocess.Popen[bytes]
    output: Path

    @classmethod
    def start(
        cls, command: Sequence[str], output: Path, env: Mapping[str, str], cwd: Path
    ) -> Program:
        """Start without waiting for anything."""
        with output.open("ab") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=env, cwd=cwd
            )
        return cls(process, output)

    @property
    def said(self) -> str:
        """Return its whole output."""
        return self.output.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it without any chance to clean up."""
        self.process.kill()
        self.process.wait()

    def end(self, number: signal.Signals = signal.SIGTERM, within: float = PATIENCE) -> None:
        """Terminate it and wait until it has exited with status 0."""
        self.process.send_signal(number)
        self.ended(within)

    def ended(self, within: float = PATIENCE) -> None:
        """Wait for it to exit with status 0."""
        status = self.process.wait(within)
        assert status == 0, self.said[-3000:]
