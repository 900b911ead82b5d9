"""Connect to the Kerma that runs on a data directory of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kerma_allinone.running import (
    LocalAccount,
    NoAccountError,
    password_file,
    read_account,
    read_running,
)

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_client.client import KermaClient


def use_settings(data: Path) -> None:
    """Set the environment to reach the log and database of a running Kerma, unless already set.

    Raises NotRunningError.
    """
    if not {"KERMA_NATS_URL", "KERMA_NATS_URL_FILE"} & os.environ.keys():
        os.environ.update(read_running(data).settings)


def connect(data: Path) -> KermaClient:
    """Return a client that acts for the local account by its API token, and opens no session.

    Raises NotRunningError, NoAccountError.
    """
    from kerma_client.client import KermaClient

    running = read_running(data)
    account = _account(data)
    if not account.token:
        raise NoAccountError(_missing(data))
    return KermaClient(running.url, token=account.token)


def log_in(data: Path) -> KermaClient:
    """Return a client with a session of the local account; whoever asks logs out.

    Raises NotRunningError, NoAccountError, ApiError, UnreachableError.
    """
    from kerma_client.client import KermaClient

    running = read_running(data)
    client = KermaClient(running.url)
    client.login(_account(data).username, password_file(data).read_text().strip())
    return client


def _account(data: Path) -> LocalAccount:
    account = read_account(data)
    if account is None:
        raise NoAccountError(_missing(data))
    return account


def _missing(data: Path) -> str:
    return f"commands have no account on {data} now; {data / 'logs' / 'kerma.log'} says why"
