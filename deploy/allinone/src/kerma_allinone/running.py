"""Files in a data directory that say how to reach the Kerma that runs on it, and as whom."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

_RUN_FILE = "run.json"


class NotRunningError(Exception):
    """No Kerma runs on the data directory; the text says what to do."""


class NoAccountError(Exception):
    """Commands have no account of the Kerma that runs; the text says where the reason is."""


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


@dataclass(frozen=True, slots=True)
class LocalAccount:
    """The account that commands of this machine use; ``token`` is "" as long as it has no API token."""

    username: str
    token: str = field(default="", repr=False)


def account_file(data: Path) -> Path:
    """Return where the account of this directory is kept, with mode 0600."""
    return data / "local-account"


def password_file(data: Path) -> Path:
    """Return where the password of that account is kept, with mode 0600."""
    return data / "local-password"


def read_account(data: Path) -> LocalAccount | None:
    """Return the account of this directory, None if there is none or the file is damaged."""
    try:
        return LocalAccount(**json.loads(account_file(data).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
