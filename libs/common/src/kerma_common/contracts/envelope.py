"""The commit: the content of one log message.

One decision yields 1..n events that are stored together or not at all, so they share one message,
which is atomic on any server at any replica count.

These are named tuples because every reader makes four of them per message, and a frozen dataclass
takes four times as long to make.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from kerma_common.contracts import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_COMMIT_BYTES = 256 * 1024
"""Size limit of a log message; larger data goes into blobs."""


class Meta(NamedTuple):
    """Who caused a commit and why.

    ``causation`` is the id of the event that a policy reacted to, ``correlation`` the id of the
    first command of the story. ``after`` maps other streams to positions that a projection must
    have passed before it applies this commit (the causal barrier).
    """

    actor: str
    command: str
    correlation: str
    service: str
    causation: str | None = None
    after: Mapping[str, int] = MappingProxyType({})


class StoredEvent(NamedTuple):
    """One event as stored: type, version and plain data."""

    id: str
    type: str
    version: int
    time: datetime
    data: Mapping[str, Any]

    def decode(self) -> object | None:
        """Return the typed event, upcast, or None if this release does not know its type."""
        return registry.from_data(self.type, self.version, self.data)


class Commit(NamedTuple):
    """The events of one decision on one aggregate. ``first_version`` counts events from 1."""

    id: str
    aggregate: str
    aggregate_id: str
    first_version: int
    meta: Meta
    events: tuple[StoredEvent, ...]

    @property
    def types(self) -> str:
        """Header value: the event types in order, for filtering without decoding."""
        return ",".join(f"{e.type}.{e.version}" for e in self.events)


class Recorded(NamedTuple):
    """A message at its place in the log.

    ``foreign`` is None for a commit. Otherwise it says why the message is not one, and ``commit``
    has no events, so that a reader skips it without any effect. It still counts as the last message
    of its subject, which is what appends must expect.
    """

    stream: str
    seq: int
    subject: str
    commit: Commit
    traceparent: str | None = None
    foreign: str | None = None


def make_commit(
    commit_id: str,
    aggregate: str,
    aggregate_id: str,
    first_version: int,
    meta: Meta,
    events: tuple[object, ...],
    now: datetime,
) -> Commit:
    """Build the commit of decided events; ids derive from the commit id, so a retry is identical."""
    stored = tuple(
        StoredEvent(f"{commit_id}.{n}", kind.name, kind.version, now, registry.to_data(payload))
        for n, payload in enumerate(events)
        for kind in (registry.type_of(payload),)
    )
    return Commit(commit_id, aggregate, aggregate_id, first_version, meta, stored)


def encode(commit: Commit) -> bytes:
    """Return a commit as UTF-8 JSON with sorted keys. Raises ValueError above the size limit."""
    meta = commit.meta
    body = orjson.dumps(
        {
            "v": 1,
            "commit": commit.id,
            "agg": {
                "type": commit.aggregate,
                "id": commit.aggregate_id,
                "from": commit.first_version,
            },
            "meta": {
                "actor": meta.actor,
                "command": meta.command,
                "correlation": meta.correlation,
                "service": meta.service,
                "causation": meta.causation,
                "after": dict(meta.after),
            },
            "events": [
                {
                    "id": e.id,
                    "type": e.type,
                    "ver": e.version,
                    "time": e.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                    "data": dict(e.data),
                }
                for e in commit.events
            ],
        },
        option=orjson.OPT_SORT_KEYS,
    )
    if len(body) > MAX_COMMIT_BYTES:
        raise ValueError(f"commit of {len(body)} bytes exceeds {MAX_COMMIT_BYTES}")
    return body
