"""Connect to the Kerma that runs on a data directory of this machine."""

from __future__ import annotations

import os
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_allinone.running import NotRunningError, read_running
from kerma_client.errors import ApiError, UnreachableError

if TYPE_CHECKING:
    from kerma_client.client import KermaClient

USER = "local"
_PASSWORD_FILE = "local-password"  # noqa: S105 - the name of a file


def use_settings(data: Path) -> None:
    """Set the environment to reach the log and database of a running Kerma, unless already set.

    Raises NotRunningError.
    """
    if not {"KERMA_NATS_URL", "KERMA_NATS_URL_FILE"} & os.environ.keys():
        os.environ.update(read_running(data).settings)


def connect(data: Path) -> KermaClient:
    """Return a client that is logged in with the local account, created on first use.

    Raises NotRunningError.
    """
    from kerma_client.client import KermaClient

    running = read_running(data)
    client = KermaClient(running.url)
    password = _password(data)
    try:
        client.login(USER, password)
    except ApiError as error:
        if error.status != HTTPStatus.UNAUTHORIZED:
            raise
        client.register(USER, password)
        client.login(USER, password)
    except UnreachableError as error:
        raise NotRunningError(str(error)) from error
    return client


def _password(data: Path) -> str:
    """Return the password of the local account. It is created on first use, with mode 0600."""
    path = data / _PASSWORD_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        password = secrets.token_urlsafe(24)
        file.write(password)
    return password
