"""User-supplied geometry: what is refused, and the names that Geant4 gives its parts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kerma_engines.errors import Problem
from kerma_engines.geant4.gdml import size as gdml_size
from kerma_engines.geant4.gdml.tree import Malformed, read
from kerma_engines.physics.material_names import BLACK_HOLE, VACUUM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kerma_engines.geant4.gdml.tree import Element

#: Elements that read other files, or repeat without bound.
_REFUSED = {
    "file": "geometry in further files is not allowed",
    "loop": "loops are not allowed",
}
_PARTS = ("solids", "structure", "setup")


def problems(text: str, *, file: str) -> Iterator[Problem]:
    """Return what is wrong with a GDML document, before Geant4 sees it."""
    try:
        root = read(text)
    except Malformed as fault:
        yield Problem(f"{file}:{fault.line}" if fault.line else file, fault.reason)
        return
    if root.name != "gdml":
        yield Problem(file, "is no GDML: the outermost element must be <gdml>")
        return
    seen = {child.name for child in root.children}
    for part in _PARTS:
        if part not in seen:
            yield Problem(file, f"has no <{part}>")
    for element in root.walk():
        if element.name in _REFUSED:
            reason = f"<{element.name}>: {_REFUSED[element.name]}"
            yield Problem(f"{file}:{element.line}", reason)
    yield from _twice(root, file)
    yield from gdml_size.problems(root, file)


def _twice(root: Element, file: str) -> Iterator[Problem]:
    """Return names under which Geant4 would find something else.

    It looks up solids and volumes by full names, but materials and elements without ``0x`` and what
    follows.
    """
    for part in root.children:
        if part.name == "materials":
            yield from _repeated(part.children, {"material"}, file, stripped=True)
            yield from _repeated(part.children, {"element"}, file, stripped=True)
        elif part.name == "solids":
            kinds = {child.name for child in part.children if child.name != "opticalsurface"}
            yield from _repeated(part.children, kinds, file, stripped=False)
        elif part.name == "structure":
            yield from _repeated(part.children, {"volume", "assembly"}, file, stripped=False)


def _repeated(
    elements: Iterable[Element], kinds: set[str], file: str, *, stripped: bool
) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for element in elements:
        name = element.get("name")
        if element.name not in kinds or not name:
            continue
        known = strip(name) if stripped else name
        if known in seen:
            reason = (
                f"<{element.name} name={name[:64]!r}>: Geant4 knows it as {known[:64]!r}, which "
                f"line {seen[known]} defines already; it would take that one"
            )
            yield Problem(f"{file}:{element.line}", reason)
        seen.setdefault(known, element.line)


def strip(name: str) -> str:
    """Return a name as Geant4 stores it: without the pointer that writers append.

    ``G4GDMLRead::StripName`` drops everything from the first ``0x``.
    """
    return name.partition("0x")[0]


def volume_names(text: str) -> Counter[str]:
    """Return the names of logical volumes as Geant4 stores them, and how many share each."""
    return Counter(strip(volume.get("name")) for volume in _volumes(read(text)))


def numbering(text: str) -> dict[str, dict[str, int]]:
    """Return the numbers that maps show, by name: ``zone`` of volumes, ``material`` of materials.

    Volumes are numbered from 1 in the order of the document, so that the zones of a project come
    first, then its world; volumes with the same name in Geant4 have the number of the first.
    Materials are numbered from 1 in the order in which volumes refer to them, but as in
    SHIELD-HIT12A a black hole is 0 and vacuum 1000.
    """
    zones: dict[str, int] = {}
    materials = {BLACK_HOLE: 0, VACUUM: 1000}
    for number, volume in enumerate(_volumes(read(text)), start=1):
        zones.setdefault(strip(volume.get("name")), number)
        materials.setdefault(_material(volume), len(materials) - 1)
    return {"zone": zones, "material": materials}


def has_black_hole(text: str) -> bool:
    """Return whether a volume is made of the material that ends every track."""
    # Large geometry takes seconds to parse, and hardly any has one.
    return BLACK_HOLE in text and any(
        _material(volume) == BLACK_HOLE for volume in _volumes(read(text))
    )


def _volumes(root: Element) -> Iterator[Element]:
    return (element for element in root.walk() if element.name == "volume")


def _material(volume: Element) -> str:
    refs = (child.get("ref") for child in volume.children if child.name == "materialref")
    return strip(next(refs, ""))
