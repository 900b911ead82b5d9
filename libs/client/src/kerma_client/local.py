"""The Kerma of a data directory on this machine: where it listens, and the account to use."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from kerma_client.client import ApiError, KermaClient

USER = "local"
_RUN_FILE = "run.json"
_PASSWORD_FILE = "local-password"  # noqa: S105 - the name of a file


class DemoError(Exception):
    """The demonstration did not reach its end; the text says why."""


class NotRunningError(Exception):
    """No Kerma runs on the data directory; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """A Kerma that is up: base URL, process, and the settings that reach what it stands on.

    Settings name files that hold secrets, never the secrets.
    """

    url: str
    pid: int
    logs: str
    settings: dict[str, str]


def write_running(data: Path, running: Running) -> None:
    """Tell others how to reach the Kerma of this directory."""
    draft = data / f".{_RUN_FILE}"
    draft.write_text(json.dumps(asdict(running)))
    draft.rename(data / _RUN_FILE)


def remove_running(data: Path) -> None:
    """Tell others that it is gone."""
    (data / _RUN_FILE).unlink(missing_ok=True)


def read_running(data: Path) -> Running:
    """How to reach the Kerma of this directory. Raises NotRunningError."""
    try:
        running = Running(**json.loads((data / _RUN_FILE).read_text()))
        os.kill(running.pid, 0)
    except (OSError, ValueError, TypeError):
        raise NotRunningError(
            f"no Kerma runs on {data}; start one with: ./kerma up --data {data}"
        ) from None
    return running


def use_settings(data: Path) -> None:
    """Reach the log and the database of the directory's Kerma, unless the environment says where.

    Raises NotRunningError.
    """
    if not {"KERMA_NATS_URL", "KERMA_NATS_URL_FILE"} & os.environ.keys():
        os.environ.update(read_running(data).settings)


def connect(data: Path) -> KermaClient:
    """A logged-in client of the directory's Kerma, with its local account.

    Raises NotRunningError.
    """
    running = read_running(data)
    client = KermaClient(running.url)
    password = _password(data)
    try:
        client.login(USER, password)
    except ApiError as error:
        if error.status != httpx.codes.UNAUTHORIZED:
            raise
        client.register(USER, password)
        client.login(USER, password)
    except httpx.TransportError as error:
        raise NotRunningError(f"{running.url} does not answer: {error}") from error
    return client


def _password(data: Path) -> str:
    """Password of the local account; made on first use, readable by its owner alone."""
    path = data / _PASSWORD_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        password = secrets.token_urlsafe(24)
        file.write(password)
    return password
