"""Golden files: a message of the log for every event type and version, and shapes of read models.

The file of an event is written once and never again, because it shows what stored history looks
like. To change a type that was never released, delete its file and generate it again.
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from kerma_allinone.assembly import SERVICES
from kerma_common.contracts import envelope, registry
from kerma_common.contracts.document import CONTEXTS
from kerma_common.contracts.envelope import Commit, Meta, make_commit
from kerma_common.contracts.registry import EventType
from kerma_common.projection.router import Projection
from kerma_common.projection.rows.schema import shape_of
from kerma_tools.paths import ROOT

GOLDEN = ROOT / "tests" / "fixtures" / "golden" / "events"
READ_MODELS = GOLDEN.parent / "read_models.json"
JOB = "20260801-101500-0c6f3a52-5d1e-4b7a-9a55-3f1d7a1c2b4eDIRECT"
COMMIT = "8d0f4b0e-6f2c-5f0a-9c7e-2b1a3c4d5e6f"


def kinds() -> list[EventType]:
    """Return every event type of the system."""
    return [kind for kind in registry.all_types() if kind.context in CONTEXTS]


def path(name: str, version: int) -> Path:
    """Return the path of the file of a type."""
    return GOLDEN / f"{name}.{version}.json"


def sample(kind: EventType) -> Commit:
    """Return a commit with one event of this type, every field filled."""
    schema = registry.adapter(kind.cls).json_schema()
    data = _value("", schema, schema.get("$defs", {}))
    event = registry.adapter(kind.cls).validate_python(data)
    meta = Meta("svc:sample", "Sample", "correlation-1", kind.context, f"{COMMIT}.0", {"JOBS": 7})
    now = datetime(2026, 8, 1, 10, 15, 0, 250000, tzinfo=UTC)
    return make_commit(COMMIT, kind.aggregate, "sample", 1, meta, (event,), now)


def _value(name: str, schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    if ref := schema.get("$ref"):
        return _value(name, defs[ref.rpartition("/")[2]], defs)
    if options := schema.get("anyOf"):
        return _value(name, options[0], defs)
    match schema["type"]:
        case "object" if "properties" in schema:
            return {key: _value(key, field, defs) for key, field in schema["properties"].items()}
        case "object":
            return {"sample": _value("value", schema["additionalProperties"], defs)}
        case "array":
            parts = schema.get("prefixItems") or [schema["items"]] * 2
            return [_value(name, part, defs) for part in parts]
        case "string":
            return _text(name, schema.get("format"))
        case kind:
            return {"integer": 3, "number": 2.5, "boolean": True}[kind]


def _text(name: str, form: str | None) -> str:
    if form == "date-time":
        return "2026-08-01T10:15:00.250000Z"
    return {"job_id": JOB, "sha256": "ab" * 32}.get(name, f"{name or 'text'}-µ")


class RevisionNotRaisedError(Exception):
    """The tables of a read model changed, its revision did not."""


def write_missing() -> list[Path]:
    """Write the files of new types and versions; return their paths."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in kinds():
        target = path(kind.name, kind.version)
        if not target.exists():
            body = orjson.loads(envelope.encode(sample(kind)))
            options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
            target.write_bytes(orjson.dumps(body, option=options))
            written.append(target)
    return written


def projections(service: str) -> tuple[Projection, ...]:
    """Return the read models of a service, without their preparation."""
    main = importlib.import_module(f"{SERVICES[service].package}.main")
    found: tuple[Projection, ...] = main.projections(SimpleNamespace(db=None, blobs=None))
    return found


def read_models() -> dict[str, dict[str, Any]]:
    """Return revision and shape of every read model as declared now."""
    return {
        f"{service}/{p.name}": {"revision": p.revision, "shape": shape_of(p)}
        for service in SERVICES
        for p in projections(service)
    }


def write_read_models() -> list[Path]:
    """Write the shapes of all read models; return the file if it changed.

    Raises RevisionNotRaisedError.
    """
    stored = orjson.loads(READ_MODELS.read_bytes()) if READ_MODELS.exists() else {}
    declared = read_models()
    kept = [
        name
        for name, now in declared.items()
        if (before := stored.get(name)) and before != now and before["revision"] >= now["revision"]
    ]
    if kept:
        raise RevisionNotRaisedError(
            f"the tables of {', '.join(kept)} changed: raise the revision of the projection"
        )
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    content = orjson.dumps(declared, option=options)
    if READ_MODELS.exists() and READ_MODELS.read_bytes() == content:
        return []
    READ_MODELS.write_bytes(content)
    return [READ_MODELS]
