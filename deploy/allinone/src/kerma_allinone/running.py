"""The file in a data directory that says how to reach the Kerma that runs on it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_RUN_FILE = "run.json"


class NotRunningError(Exception):
    """No Kerma runs on the data directory; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running Kerma: base URL, process id, and the settings to reach its NATS and PostgreSQL.

    Settings name files that hold secrets, never the secrets.
    """

    url: str
    pid: int
    logs: str
    settings: dict[str, str]


def write_running(data: Path, running: Running) -> None:
    """Write the file of this directory."""
    draft = data / f".{_RUN_FILE}"
    draft.write_text(json.dumps(asdict(running)))
    draft.rename(data / _RUN_FILE)


def remove_running(data: Path) -> None:
    """Remove the file of this directory; do nothing when there is none."""
    (data / _RUN_FILE).unlink(missing_ok=True)


def read_running(data: Path) -> Running:
    """Read the file of this directory. Raises NotRunningError."""
    try:
        running = Running(**json.loads((data / _RUN_FILE).read_text()))
        os.kill(running.pid, 0)
    except (OSError, ValueError, TypeError):
        raise NotRunningError(
            f"no Kerma runs on {data}; start one with: ./kerma up --data {data}"
        ) from None
    return running
