"""From the bytes of a log message to a commit; every field is checked.

Anyone with publish rights can put anything on a subject of the log. A message that is not a commit
is foreign: ``NotACommit`` gives the reason, and readers skip it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from kerma_common.contracts.envelope import Commit, Meta, StoredEvent

ENVELOPE_VERSION = 1
MAX_DEPTH = 32
"""Maximum nesting of event data; a JSON writer stops at 254 levels, our events have 5."""
_MAX_INT = 2**53
_MAX_STREAMS = 16
_ID = re.compile(r"[!-~]{1,200}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,500}")


class NotACommit(ValueError):  # noqa: N818
    """The bytes are not a commit; the text gives the reason in a few words."""


class NewerCommit(ValueError):  # noqa: N818
    """A newer release wrote the commit; skipping it would lose events."""

    def __init__(self, version: int, commit: str, aggregate: str, aggregate_id: str) -> None:
        self.commit, self.aggregate, self.aggregate_id = commit, aggregate, aggregate_id
        super().__init__(f"envelope version {version} is newer than this release")


def decode(body: bytes) -> Commit:
    """Decode a commit. Raises NotACommit, or NewerCommit for a later envelope version."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotACommit(f"not JSON: {error}") from None
    if type(raw) is not dict:
        raise NotACommit("not a JSON object")
    agg, meta, events = _object(raw, "agg"), _object(raw, "meta"), raw.get("events")
    commit_id, version = _match(raw, "commit", _ID), _int(raw, "v", 1)
    if version > ENVELOPE_VERSION:
        raise NewerCommit(version, commit_id, _match(agg, "type", _NAME), _match(agg, "id", _ID))
    if type(events) is not list or not events:
        raise NotACommit("events is not a list with an event")
    # Deep nesting takes many brackets; ordinary commits are not walked.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deep(events, MAX_DEPTH):
        raise NotACommit(f"nested deeper than {MAX_DEPTH} levels")
    return Commit(
        id=commit_id,
        aggregate=_match(agg, "type", _NAME),
        aggregate_id=_match(agg, "id", _ID),
        first_version=_int(agg, "from", 1),
        meta=_meta(meta),
        events=tuple([_event(event) for event in events]),
    )


def _meta(meta: Mapping[str, Any]) -> Meta:
    causation = meta.get("causation")
    after = meta.get("after") or {}
    if type(after) is not dict or len(after) > _MAX_STREAMS:
        raise NotACommit("after does not map streams to sequences")
    for stream in after:
        _int(after, stream, 0)
    return Meta(
        actor=_match(meta, "actor", _TEXT),
        command=_match(meta, "command", _TEXT),
        correlation=_match(meta, "correlation", _TEXT),
        service=_match(meta, "service", _NAME),
        causation=None if causation is None else _match(meta, "causation", _TEXT),
        after=after,
    )


def _event(event: object) -> StoredEvent:
    if type(event) is not dict:
        raise NotACommit("an event is not an object")
    return StoredEvent(
        _match(event, "id", _ID),
        _match(event, "type", _NAME),
        _int(event, "ver", 1),
        _time(event),
        _object(event, "data"),
    )


def _object(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    if type(value) is not dict:
        raise NotACommit(f"{name} is not an object")
    return value


def _match(holder: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = holder.get(name)
    if type(value) is not str or pattern.fullmatch(value) is None:
        raise NotACommit(f"{name} is not a text of the right form")
    return value


def _int(holder: Mapping[str, Any], name: str, least: int) -> int:
    value = holder.get(name)
    if type(value) is not int or not least <= value <= _MAX_INT:
        raise NotACommit(f"{name} is not a whole number from {least}")
    return value


def _time(event: Mapping[str, Any]) -> datetime:
    try:
        time = datetime.fromisoformat(event["time"])
        return time if time.tzinfo is UTC else _in_utc(time)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise NotACommit("time is not a time with its zone") from None


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError("no time zone")
    return time.astimezone(UTC)


def _is_deep(value: object, left: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return left == 0 or any(_is_deep(item, left - 1) for item in value)
