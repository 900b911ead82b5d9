"""The Kerma of a data directory on this machine: where it listens, and the account to use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import httpx

from kerma_allinone.running import NotRunningError, read_running
from kerma_client.client import ApiError, KermaClient

USER = "local"
_PASSWORD_FILE = "local-password"  # noqa: S105 - the name of a file


class DemoError(Exception):
    """The demonstration did not reach its end; the text says why."""


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
