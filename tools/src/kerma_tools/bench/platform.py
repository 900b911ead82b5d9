"""A Kerma for benches: ``kerma up`` on a temporary directory, and a logged-in client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kerma_allinone.running import NotRunningError, Running, read_running
from kerma_client.client import KermaClient
from kerma_client.local import log_in

START_SECONDS = 60.0
CHECK_SECONDS = 0.01


_OF_THE_CLONE = frozenset({"KERMA_PYTHON", "KERMA_VENV"})


@dataclass(frozen=True, slots=True)
class Platform:
    """A running Kerma; ``start_seconds`` passed from the command to readiness."""

    data: Path
    running: Running
    client: KermaClient
    start_seconds: float
    process: subprocess.Popen[bytes]

    def stop(self) -> float:
        """Send SIGTERM and wait for the end; return the seconds."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return time.perf_counter() - began

    @property
    def nats_url(self) -> str:
        """URL of its NATS, with the password."""
        return Path(self.running.settings["KERMA_NATS_URL_FILE"]).read_text()


def environment() -> dict[str, str]:
    """Return the environment without Kerma's settings, so that figures are for the defaults."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KERMA_") or name in _OF_THE_CLONE
    }


@contextmanager
def platform(
    slots: int = 2, data: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Platform]:
    """Run Kerma with this many slots (0: no worker) for the duration of the block.

    Settings are the defaults except for ``settings``, variables by name.
    """
    with tempfile.TemporaryDirectory(prefix="kerma-bench-") as temporary:
        directory = data or Path(temporary)
        # PostgreSQL runs as another user under root, and would keep its data elsewhere for ever
        directory.chmod(0o711)
        command = [sys.executable, "-m", "kerma_client.cli", "up", "--port", "0"]
        began = time.perf_counter()
        child = subprocess.Popen(
            [*command, "--data", str(directory), "--slots", str(slots)],
            stdout=subprocess.DEVNULL,
            env={**environment(), **(settings or {})},
        )
        try:
            running = _ready(child, directory)
            took = time.perf_counter() - began
            with log_in(directory) as client:
                yield Platform(directory, running, client, took, child)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()


def _ready(child: subprocess.Popen[bytes], directory: Path) -> Running:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            return read_running(directory)
        except NotRunningError:
            time.sleep(CHECK_SECONDS)
    raise NotRunningError("kerma up did not become ready")


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(action: Callable[[], object], times: int) -> list[float]:
    """Return the milliseconds of each call."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        found.append(1e3 * (time.perf_counter() - began))
    return found
