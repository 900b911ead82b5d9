"""Geometry that users supply: what is refused, and which volumes end tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

from kerma_engines.errors import Problem
from kerma_engines.physics.material_names import BLACK_HOLE, VACUUM

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


def numbering(text: str) -> dict[str, dict[str, int]]:
    """Numbers that maps show: ``zone`` of volumes, ``material`` of what they are made of, by name.

    Volumes count from 1 in the order of the document, so that the zones of a project come first,
    then its world. Materials count from 1 in the order in which volumes name them, but as in
    SHIELD-HIT12A a black hole is 0 and vacuum 1000.
    """
    root = SafeTree.fromstring(text, forbid_dtd=True)
    volumes = list(root.iter("volume"))
    zones = {volume.get("name", ""): number for number, volume in enumerate(volumes, start=1)}
    materials = {BLACK_HOLE: 0, VACUUM: 1000}
    for volume in volumes:
        for material in volume.iter("materialref"):
            materials.setdefault(material.get("ref", ""), len(materials) - 1)
    return {"zone": zones, "material": materials}


def black_holes(text: str) -> list[str]:
    """Names of the volumes made of the material that ends every track."""
    root = SafeTree.fromstring(text, forbid_dtd=True)
    return [
        volume.get("name", "")
        for volume in root.iter("volume")
        if any(material.get("ref") == BLACK_HOLE for material in volume.iter("materialref"))
    ]
