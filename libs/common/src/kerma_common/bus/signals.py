"""Signals: hints over core NATS that something changed. They may be lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import nats.errors

from kerma_common.contracts.registry import adapter

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker

_log = logging.getLogger(__name__)


async def send(broker: EdgeBroker, subject: str, hint: object | None = None) -> None:
    """Send a hint; if it is lost, the receiver finds out later."""
    body = b"" if hint is None else adapter(type(hint)).dump_json(hint)
    try:
        await broker.publish(body, subject)
    except (nats.errors.Error, OSError) as error:
        _log.info("signal lost", extra={"subject": subject, "reason": repr(error)})
