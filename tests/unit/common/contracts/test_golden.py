"""Every stored event can be read, and is written as it always was."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import orjson
import pytest

from kerma_common.contracts import document, envelope, registry
from kerma_common.contracts.decoding import decode
from kerma_tools import golden

FILES = sorted(golden.GOLDEN.glob("*.json"))


def test_every_type_has_a_golden_file() -> None:
    missing = [k.wire for k in golden.kinds() if not golden.path(k.name, k.version).exists()]
    assert not missing, f"run './kerma generate' for {missing}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_stored_events_are_known_and_unchanged(path: Path) -> None:
    stored = orjson.loads(path.read_bytes())
    commit = decode(path.read_bytes())
    assert orjson.loads(envelope.encode(commit)) == stored
    [event] = commit.events
    assert f"{event.type}.{event.version}" == path.stem
    decoded = event.decode()
    assert decoded is not None
    kind = registry.type_of(decoded)
    if kind.version == event.version:
        now = registry.to_data(decoded)
        # Later fields have defaults: there may be more fields, never fewer.
        assert {name: now.get(name) for name in event.data} == event.data, (
            "the stored form changed: make it a new version, or, if no release ever wrote it, "
            f"delete {path.name} and run './kerma generate'"
        )


@pytest.mark.parametrize("kind", golden.kinds(), ids=lambda kind: kind.wire)
def test_golden_data_obeys_the_published_schema(kind: registry.EventType) -> None:
    schema = orjson.loads(document.documents()[f"{document.SCHEMAS}/{kind.wire}.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    stored = orjson.loads(golden.path(kind.name, kind.version).read_bytes())
    jsonschema.validate(stored["events"][0]["data"], schema)


@pytest.mark.parametrize("kind", golden.kinds(), ids=lambda kind: kind.wire)
def test_readers_tolerate_fields_of_the_future(kind: registry.EventType) -> None:
    data = golden.sample(kind).events[0].data
    decoded = registry.from_data(kind.name, kind.version, {**data, "added_later": 1})
    assert decoded == registry.from_data(kind.name, kind.version, data)
