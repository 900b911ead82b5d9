"""The checked-in documents match the registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kerma_common.contracts import document, registry

DOCS = Path(__file__).parents[4] / "docs"


@pytest.mark.parametrize("name", document.documents())
def test_checked_in_documents_are_current(name: str) -> None:
    path = DOCS / name
    assert path.exists(), f"docs/{name} is missing: run './kerma generate'"
    assert path.read_bytes() == document.documents()[name], (
        f"docs/{name} is out of date: run './kerma generate'"
    )


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    made = document.documents()
    written = document.write_documents(tmp_path, made)
    assert {str(p.relative_to(tmp_path)) for p in written} == set(made)
    assert document.write_documents(tmp_path, made) == ()


def test_every_event_is_in_the_catalogue() -> None:
    catalogue = document.documents()[document.CATALOGUE].decode()
    for kind in registry.all_types():
        if kind.context in document.CONTEXTS:
            assert f"[{kind.name}]" in catalogue


def test_every_event_says_what_became_true() -> None:
    for kind in registry.all_types():
        assert kind.cls.__doc__
        assert not kind.cls.__doc__.startswith(f"{kind.name}("), f"{kind.name} has no docstring"


def test_every_reference_of_the_interface_leads_somewhere() -> None:
    made = document.documents()
    api = orjson.loads(made[document.ASYNCAPI])
    references = list(_references(api))
    assert references
    for reference in references:
        if reference.startswith("#/"):
            target = api
            for step in reference[2:].split("/"):
                target = target[step]
        else:
            assert reference.removeprefix("../") in made


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
