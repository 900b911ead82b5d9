"""Signals: hints over core NATS that something is worth a look. They may be lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import nats.errors

from kerma_common.contracts.registry import adapter

if TYPE_CHECKING:
    from nats.aio.client import Client

_log = logging.getLogger(__name__)


async def send(client: Client, subject: str, hint: object | None = None) -> None:
    """Send a hint; what it hints at is found later without it."""
    body = b"" if hint is None else adapter(type(hint)).dump_json(hint)
    try:
        await client.publish(subject, body)
    except (nats.errors.Error, OSError) as error:
        _log.info("signal lost", extra={"subject": subject, "reason": repr(error)})
