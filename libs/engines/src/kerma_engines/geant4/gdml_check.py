"""Geometry that users supply: what is refused, and which volumes end tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

from kerma_engines.errors import Problem
from kerma_engines.geant4.materials import BLACK_HOLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

#: Elements that read other files or repeat themselves without bound.
_REFUSED = {
    "file": "geometry in further files is not allowed",
    "loop": "loops are not allowed",
}
_PARTS = ("materials", "solids", "structure", "setup")
_MAX_DEPTH = 200


def problems(text: str, *, file: str) -> Iterator[Problem]:
    """What is wrong with a GDML document, before Geant4 sees it."""
    try:
        root = SafeTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException:
        yield Problem(file, "a DOCTYPE and entities are not allowed")
        return
    except (SafeTree.ParseError, ValueError) as error:
        yield Problem(file, f"is no well-formed XML: {error}")
        return
    if _local(root) != "gdml":
        yield Problem(file, "is no GDML: the outermost element must be <gdml>")
        return
    seen = {_local(child) for child in root}
    for part in _PARTS:
        if part not in seen and part != "materials":
            yield Problem(file, f"has no <{part}>")
    yield from _walk(root, file)


def _walk(root: Element, file: str) -> Iterator[Problem]:
    level, depth = [root], 0
    found = set()
    while level:
        found |= {_local(element) for element in level} & set(_REFUSED)
        level = [child for element in level for child in element]
        depth += 1
        if depth > _MAX_DEPTH:
            yield Problem(file, f"is nested deeper than {_MAX_DEPTH} elements")
            return
    for name in sorted(found):
        yield Problem(file, f"<{name}>: {_REFUSED[name]}")


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def black_holes(text: str) -> list[str]:
    """Names of the volumes made of the material that ends every track."""
    root = SafeTree.fromstring(text, forbid_dtd=True)
    return [
        volume.get("name", "")
        for volume in root.iter("volume")
        if any(material.get("ref") == BLACK_HOLE for material in volume.iter("materialref"))
    ]
