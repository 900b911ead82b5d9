"""Poison: messages that cannot be decoded.

Anyone with publish rights can send anything to any subject. Poison stops nothing: it is counted,
logged once per source, copied to a bounded stream, and skipped. ``kerma admin poison`` shows the
copies (docs/runbooks/poison.md).
"""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson
import prometheus_client

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

STREAM = "POISON"
KEPT_BYTES = 4096
"""Bytes of a body that are copied."""
KEPT_TEXT = 500
NOTED_SOURCES = 1024
PER_MINUTE = 60
"""Copies and log lines per process and source; beyond that, poison is only counted."""

POISON = prometheus_client.Counter(
    "kerma_poison_total", "Messages that could not be decoded", ["source"]
)
_log = logging.getLogger(__name__)


class Malformed(ValueError):  # noqa: N818
    """A message that cannot be decoded; the text gives the reason in a few words."""


class Source(StrEnum):
    """Where a message was read."""

    LOG = "log"
    TELEMETRY = "telemetry"
    TICKET = "ticket"
    REQUEST = "request"
    REPLY = "reply"
    SIGNAL = "signal"
    POSITION = "position"


@dataclass(slots=True)
class _Noted:
    """The sources this process has logged, and its copies per source in the current minute."""

    sources: dict[tuple[Source, str], None] = field(default_factory=dict)
    copies: Counter[Source] = field(default_factory=Counter)
    minute: int = 0

    def allows(self, source: Source) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self.minute:
            self.minute = minute
            self.copies.clear()
        self.copies[source] += 1
        return self.copies[source] <= PER_MINUTE

    def is_new(self, source: Source, subject: str) -> bool:
        key = (source, subject)
        if key in self.sources:
            return False
        while len(self.sources) >= NOTED_SOURCES:
            del self.sources[next(iter(self.sources))]
        self.sources[key] = None
        return True


_noted = _Noted()


async def record_poison(
    client: Client,
    source: Source,
    subject: str,
    body: bytes | None,
    reason: str,
    *,
    seq: int | None = None,
) -> None:
    """Count a message that cannot be decoded, log its source and keep a copy. Never raises.

    If ``body`` is None, the message stays in its stream, at ``seq``. A message that is read again,
    after a restart or by another follower, replaces its copy.
    """
    POISON.labels(source).inc()
    if not _noted.allows(source):
        return
    reason = _plain(reason)
    if _noted.is_new(source, subject):
        _log.error(
            "poison passed",
            extra={"source": source, "subject": _plain(subject), "seq": seq, "reason": reason},
        )
    kept = {
        "source": source,
        "subject": _plain(subject),
        "seq": seq,
        "reason": reason,
        "size": None if body is None else len(body),
        "at": datetime.now(UTC),
        "body": base64.b64encode((body or b"")[:KEPT_BYTES]).decode(),
    }
    place = f"{subject} {seq} ".encode("utf-8", "replace")
    name = hashlib.sha256(place + (body or b""))
    try:
        await client.publish(f"poison.{source}.{name.hexdigest()[:24]}", orjson.dumps(kept))
    except (nats.errors.Error, OSError) as error:
        _log.warning("no copy of poison was kept", extra={"reason": repr(error)})


def _plain(text: str) -> str:
    """Return the text bounded, without control characters and lone surrogates."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown[:KEPT_TEXT]


def sequence_of(message: Msg) -> int | None:
    """Return a message's sequence in its stream, or None if it came from no stream."""
    try:
        return message.metadata.sequence.stream
    except (nats.errors.Error, ValueError, IndexError):
        return None


def copied(body: bytes) -> dict[str, Any] | None:
    """Return the copy that a message of the stream holds, or None if the message is foreign."""
    try:
        entry = orjson.loads(body)
    except ValueError:
        return None
    known = isinstance(entry, dict) and entry.keys() >= {"source", "subject", "seq", "reason"}
    return entry if known else None
