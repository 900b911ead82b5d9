"""Secrets that ``kerma up`` makes at its first start and keeps in its data directory."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from kerma_allinone.children.process import write_private

SECRETS: Mapping[str, str] = {
    "master-key": "KERMA_AUTH_MASTER_KEY",
    "update-keys-secret": "KERMA_UPDATE_KEYS_SECRET",
}
"""Settings of 32 bytes as base64 by the name of their file."""


def provide_secrets(data: Path) -> None:
    """Set those that the environment does not set to files of the data directory."""
    for name, setting in SECRETS.items():
        file = data / name
        if not file.exists():
            write_private(file, base64.b64encode(secrets.token_bytes(32)).decode())
        if setting not in os.environ:
            os.environ.setdefault(f"{setting}_FILE", str(file))


def provided() -> dict[str, str]:
    """Return the settings by which commands find these secrets, as far as they are in files."""
    files = (f"{setting}_FILE" for setting in SECRETS.values())
    return {name: os.environ[name] for name in files if name in os.environ}
