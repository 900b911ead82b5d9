"""A permanent record, in a separate stream, of what operators did to a running system.

The entry is stored before the action: a failed action has an entry too, and no action lacks one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import nats.errors

from kerma_common.contracts.registry import adapter
from kerma_common.errors import Unavailable
from kerma_common.eventlog.kept import read_all

if TYPE_CHECKING:
    from nats.aio.client import Client

STREAM = "AUDIT"


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to which part of a service, and why; ``content`` is what was given up."""

    at: datetime
    by: str
    action: str
    service: str
    part: str
    target: str
    reason: str
    content: Any = None


async def record(client: Client, entry: Entry) -> None:
    """Store an entry. Raises Unavailable if that fails: the action must not happen then."""
    body = adapter(Entry).dump_json(entry)
    try:
        await client.jetstream().publish(f"audit.{entry.service}", body, stream=STREAM)
    except (TimeoutError, nats.errors.Error, OSError) as error:
        raise Unavailable(f"no audit entry can be stored: {type(error).__name__}") from error


async def entries(client: Client) -> list[Entry]:
    """Return every entry, oldest first."""
    return [adapter(Entry).validate_json(body) for body in await read_all(client, STREAM)]
