"""The amount of geometry in a GDML document, counted before Geant4 builds it.

A few bytes can request a thousand million copies: by replicas, divisions, assemblies within
assemblies, or solids composed of one another. Geant4 would exhaust the machine's memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kerma_engines.errors import Problem
from kerma_engines.geant4.gdml.values import UNITS, Unknown, Values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.geant4.gdml.tree import Element

MAX_COPIES = 100_000
"""Copies of one replica, division or parameterised volume."""
MAX_VOLUMES = 200_000
"""Placed volumes in total, including copies."""
MAX_VOLUME_DEPTH = 100
MAX_OPERANDS = 10_000
"""Solids that a solid is composed of, each counted as often as it occurs."""
MAX_SOLID_DEPTH = 1000
MAX_SIDES = 10_000
MAX_POINTS = 10_000
"""Planes, points or sections of a solid, or nodes of a multi-union."""
MAX_FACETS = 200_000
"""Facets of all tessellated solids together."""

_COMBINED = {"union", "subtraction", "intersection"}
_BASED = {"reflectedSolid", "scaledSolid", "scaled_solid", "displaced_solid"}
_FACETS = {"triangular", "quadrangular"}
_COPIES = {"replicavol", "divisionvol", "paramvol"}
_CAP = 10**15
#: Elements that may be visited in total for the extents of solids.
_MOST_LOOKED_AT = 100_000


def problems(root: Element, file: str) -> Iterator[Problem]:
    """Return where a document exceeds the limits for Geant4."""
    counter = _Counter(file)
    for part in root.children:
        for element in part.children:
            if part.name == "define":
                counter.values.define(element)
            elif part.name == "solids":
                yield from counter.solid(element)
            elif part.name == "structure" and element.name in {"volume", "assembly"}:
                yield from counter.volume(element)


class _Counter:
    """Traverses a document as Geant4 does: definitions precede references."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values = Values()
        self.operands: dict[str, int] = {}
        self.solid_depth: dict[str, int] = {}
        self.solids: dict[str, Element] = {}
        self.extents: dict[str, float] = {}  # of solids that are divided by width
        self.looked_at = 0
        self.assemblies: dict[str, int] = {}
        self.volume_depth: dict[str, int] = {}
        self.volumes = 0
        self.facets = 0

    def _problem(self, element: Element, reason: str) -> Problem:
        name = element.get("name")
        called = f"<{element.name} name={name[:64]!r}>" if name else f"<{element.name}>"
        return Problem(f"{self.file}:{element.line}", f"{called}: {reason}")

    # solids

    def solid(self, element: Element) -> Iterator[Problem]:
        name = element.get("name")
        self.solids[name] = element
        yield from self._sides(element)
        yield from self._points(element)
        refs = _references(element)
        operands = 1 + sum(self.operands.get(ref, 1) for ref in refs)
        depth = 1 + max((self.solid_depth.get(ref, 0) for ref in refs), default=0)
        self.operands[name], self.solid_depth[name] = min(operands, _CAP), depth
        if operands > MAX_OPERANDS:
            yield self._problem(element, f"is combined from more than {MAX_OPERANDS} solids")
        if depth > MAX_SOLID_DEPTH:
            yield self._problem(element, f"is combined in more than {MAX_SOLID_DEPTH} levels")

    def _sides(self, element: Element) -> Iterator[Problem]:
        for attribute in ("numsides", "nseg"):
            if attribute not in element.attributes:
                continue
            count = self._count(element, attribute)
            if count is None or count > MAX_SIDES:
                yield self._problem(element, self._too_many(element, attribute, MAX_SIDES))

    def _points(self, element: Element) -> Iterator[Problem]:
        facets = sum(child.name in _FACETS for child in element.children)
        before, self.facets = self.facets, self.facets + facets
        if before <= MAX_FACETS < self.facets:
            yield self._problem(element, f"makes more than {MAX_FACETS} facets in all")
        if len(element.children) - facets > MAX_POINTS:
            yield self._problem(element, f"has more than {MAX_POINTS} points, planes or nodes")

    def _extent(self, solid: str) -> float:
        """Return an upper bound of a solid's extents, in mm: all its numbers added up."""
        if solid in self.extents:
            return self.extents[solid]
        total, seen, waiting = 0.0, set(), [solid]
        while waiting:
            name = waiting.pop()
            element = self.solids.get(name)
            if element is None or name in seen:
                continue
            seen.add(name)
            waiting += _references(element)
            total += self._numbers(element)
            if self.looked_at > _MOST_LOOKED_AT:
                return math.inf
        self.extents[solid] = total
        return total

    def _numbers(self, element: Element) -> float:
        total, unit = 0.0, 1.0
        for part in element.walk():
            self.looked_at += 1
            for key, value in part.attributes.items():
                if key in {"lunit", "unit"}:
                    unit = max(unit, UNITS.get(value, 1.0))
                elif key not in {"name", "aunit", "ref"}:
                    try:
                        total += abs(self.values.of(value))
                    except Unknown:
                        continue
        return total * unit

    # volumes

    def volume(self, element: Element) -> Iterator[Problem]:
        name = element.get("name")
        placed, depth = 0, 0
        solid = next((c.get("ref") for c in element.children if c.name == "solidref"), "")
        for child in element.children:
            if child.name != "physvol" and child.name not in _COPIES:
                continue
            copies: int | None = 1
            if child.name in _COPIES:
                copies = self._copies(child, solid)
            if copies is None:
                yield self._problem(child, self._too_many(child, "number", MAX_COPIES))
                continue
            ref = next((c.get("ref") for c in child.children if c.name == "volumeref"), "")
            placed += self.assemblies.get(ref, copies)
            depth = max(depth, self.volume_depth.get(ref, 0))
        self.volume_depth[name] = depth + 1
        if element.name == "assembly":
            self.assemblies[name] = min(placed, _CAP)
        before, self.volumes = self.volumes, self.volumes + placed
        if before <= MAX_VOLUMES < self.volumes:
            yield self._problem(element, f"makes more than {MAX_VOLUMES} placed volumes in all")
        if depth + 1 > MAX_VOLUME_DEPTH:
            yield self._problem(element, f"lies more than {MAX_VOLUME_DEPTH} volumes deep")

    def _copies(self, element: Element, solid: str) -> int | None:
        """Return the copies in which a volume is placed; None for too many or an unknown number."""
        if element.name == "paramvol":
            blocks = sum(part.name == "parameters" for part in element.walk())
            asked = self._count(element, "ncopies") if element.get("ncopies") else blocks
            return None if asked is None or max(asked, blocks) > MAX_COPIES else max(asked, blocks)
        count = self._count(element, "number") if element.get("number") else None
        if element.get("number") and (count is None or count > MAX_COPIES):
            return None
        if element.name == "divisionvol" and not count:
            count = self._divisions(element, solid)
        return 1 if count is None and element.name == "replicavol" else count

    def _divisions(self, element: Element, solid: str) -> int | None:
        """Return the most parts of one width that a solid divides into; None for too many."""
        try:
            width = abs(self.values.of(element.get("width")))
        except Unknown:
            return None
        width *= UNITS.get(element.get("unit"), 1.0)
        whole = 2 * math.pi if element.get("axis") == "kPhi" else self._extent(solid)
        parts = whole / width if width > 0 else math.inf
        return math.ceil(parts) if parts <= MAX_COPIES else None

    def _count(self, element: Element, attribute: str) -> int | None:
        """Return a whole number that Geant4 will read; None if it is invalid or unknown."""
        try:
            value = self.values.of(element.get(attribute))
        except Unknown:
            return None
        if not math.isfinite(value) or value != int(value) or value < 0:
            return None
        return int(value)

    def _too_many(self, element: Element, attribute: str, most: int) -> str:
        attribute = "ncopies" if element.name == "paramvol" else attribute
        if not element.get(attribute):
            return f"makes parts of an unknown number, or more than {most}"
        try:
            value = f"{self.values.of(element.get(attribute)):.9g}"
        except Unknown:
            value = "not a number that is known in advance"
        said = f"{attribute}={element.get(attribute)[:64]!r}"
        return f"{said} is {value}; it must be a whole number up to {most}"


def _references(element: Element) -> list[str]:
    """Return the solids that a solid is composed of."""
    if element.name in _COMBINED or element.name in _BASED:
        return [child.get("ref") for child in element.children if child.get("ref")]
    if element.name == "multiUnion":
        return [
            part.get("ref") for part in element.walk() if part.name == "solid" and part.get("ref")
        ]
    return []
