"""The registry as documents: event catalogue, JSON Schemas, AsyncAPI.

Everything is derived from the event classes; a test compares the checked-in documents with the
code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from kerma_common.contracts import registry
from kerma_common.contracts.events import auth, batch, jobs, results, runner
from kerma_common.contracts.registry import EventType
from kerma_common.contracts.subjects import SHARDS, STREAMS

CONTEXTS = {"auth": auth, "jobs": jobs, "runner": runner, "batch": batch, "results": results}
"""The module of each context; importing them fills the registry."""

CATALOGUE = "event-catalogue.md"
ASYNCAPI = "asyncapi/kerma.json"
SCHEMAS = "schemas/events"

_INTRODUCTION = """\
# Event catalogue

Generated from the event registry by `./kerma generate`; do not edit.

A message of the log is a commit: the events of one decision on one aggregate, on the subject
`ev.<context>.<aggregate>.<shard>.<id>`. **P** marks public events, which other services may
consume; the others are private to their context. The JSON Schemas are in
[schemas/events](schemas/events), the whole interface as AsyncAPI in
[asyncapi/kerma.json](asyncapi/kerma.json).
"""


def documents() -> Mapping[str, bytes]:
    """Return the content of every generated document by its path below ``docs``."""
    kinds = [kind for kind in registry.all_types() if kind.context in CONTEXTS]
    made = {
        CATALOGUE: _catalogue(kinds).encode(),
        ASYNCAPI: _json(_asyncapi(kinds)),
    }
    for kind in kinds:
        made[f"{SCHEMAS}/{kind.wire}.json"] = _json(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": f"urn:kerma:event:{kind.name}:{kind.version}",
                **_schema(kind),
            }
        )
    return made


def write_documents(docs: Path, made: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write ``made``, contents by path, below the folder ``docs``; return the changed paths.

    Schemas of types that are no longer registered stay: stored events may still have them.
    """
    changed = []
    for name, content in made.items():
        path = docs / name
        if path.exists() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        changed.append(path)
    return tuple(changed)


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _schema(kind: EventType) -> dict[str, Any]:
    schema = registry.adapter(kind.cls).json_schema(mode="serialization")
    cleaned: dict[str, Any] = _without_titles(schema)
    return cleaned


def _without_titles(value: Any) -> Any:
    """Drop titles of fields: they only repeat the names."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _field(field) for name, field in item.items()}
        if key == "properties"
        else _without_titles(item)
        for key, item in value.items()
    }


def _field(schema: dict[str, Any]) -> Any:
    return _without_titles({key: item for key, item in schema.items() if key != "title"})


def _meaning(kind: EventType) -> str:
    return " ".join((inspect.getdoc(kind.cls) or "").split()).replace("``", "`")


def _by_aggregate(kinds: list[EventType]) -> Iterator[tuple[str, str, list[EventType]]]:
    for (context, aggregate), group in groupby(kinds, key=lambda k: (k.context, k.aggregate)):
        yield context, aggregate, list(group)


def _catalogue(kinds: list[EventType]) -> str:
    lines = [_INTRODUCTION]
    for context, aggregate, group in _by_aggregate(kinds):
        lines += [
            f"## {context} / {aggregate}",
            "",
            f"Stream `{STREAMS[context]}`, subjects `{_address(context, aggregate)}`.",
            "",
            "| Event | | What became true | Data |",
            "|---|---|---|---|",
        ]
        for kind in group:
            name = f"[{kind.name}]({SCHEMAS}/{kind.wire}.json) v{kind.version}"
            row = (name, "P" if kind.public else "·", _meaning(kind), _fields(kind))
            lines.append(f"| {' | '.join(row)} |")
        lines.append("")
    return "\n".join(lines)


def _fields(kind: EventType) -> str:
    schema = _schema(kind)
    required = set(schema.get("required", ()))
    return ", ".join(
        f"`{name}`" + ("" if name in required else "?") for name in schema.get("properties", {})
    )


def _address(context: str, aggregate: str) -> str:
    return f"ev.{context}.{aggregate}.{{shard}}.{{id}}"


def _asyncapi(kinds: list[EventType]) -> dict[str, Any]:
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for context, aggregate, group in _by_aggregate(kinds):
        key = f"{context}_{aggregate}"
        channels[key] = {
            "address": _address(context, aggregate),
            "description": f"Commits of {aggregate} aggregates, kept in stream {STREAMS[context]}.",
            "parameters": {
                "shard": {"description": f"Two hex digits, 00 to {SHARDS - 1:02x}, of the key."},
                "id": {"description": "Id of the aggregate; it may have several tokens."},
            },
            "messages": {"commit": {"$ref": f"#/components/messages/{key}"}},
        }
        operations[f"append_{key}"] = {
            "action": "send",
            "summary": f"The {context} service records what it decided.",
            "channel": {"$ref": f"#/channels/{key}"},
            "messages": [{"$ref": f"#/channels/{key}/messages/commit"}],
        }
        messages[key] = _message(aggregate, group)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kerma events",
            "version": "1",
            "description": "What the services of Kerma record and tell each other.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {"meta": _META}},
    }


def _message(aggregate: str, group: list[EventType]) -> dict[str, Any]:
    return {
        "name": f"{aggregate} commit",
        "summary": "The events of one decision, which stand or fall together.",
        "headers": {"type": "object", "properties": _HEADERS},
        "payload": {
            "type": "object",
            "required": ["v", "commit", "agg", "meta", "events"],
            "properties": {
                "v": {"const": 1},
                "commit": {"type": "string", "format": "uuid"},
                "agg": {
                    "type": "object",
                    "required": ["type", "id", "from"],
                    "properties": {
                        "type": {"const": aggregate},
                        "id": {"type": "string"},
                        "from": {"type": "integer", "minimum": 1},
                    },
                },
                "meta": {"$ref": "#/components/schemas/meta"},
                "events": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"oneOf": [_stored(kind) for kind in group]},
                },
            },
        },
    }


def _stored(kind: EventType) -> dict[str, Any]:
    return {
        "type": "object",
        "description": _meaning(kind),
        "required": ["id", "type", "ver", "time", "data"],
        "properties": {
            "id": {"type": "string"},
            "type": {"const": kind.name},
            "ver": {"const": kind.version},
            "time": {"type": "string", "format": "date-time"},
            "data": {"$ref": f"../{SCHEMAS}/{kind.wire}.json"},
        },
    }


_HEADERS: dict[str, Any] = {
    "Nats-Msg-Id": {"type": "string", "description": "Id of the commit."},
    "Nats-Expected-Last-Subject-Sequence": {
        "type": "string",
        "description": "Stream sequence of the commit before; 0 for the first.",
    },
    "Kerma-Types": {"type": "string", "description": "Comma list of Type.version, in order."},
    "traceparent": {"type": "string", "description": "W3C trace context of the command."},
}
_META: dict[str, Any] = {
    "type": "object",
    "required": ["actor", "command", "correlation", "service"],
    "properties": {
        "actor": {"type": "string", "description": "user:…, svc:… or agent:…"},
        "command": {"type": "string", "description": "Name of the decided command."},
        "correlation": {"type": "string", "description": "First command of the story."},
        "service": {"type": "string"},
        "causation": {"type": ["string", "null"], "description": "Event that was reacted to."},
        "after": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "description": "Positions of other streams that a reader must have passed.",
        },
    },
}
