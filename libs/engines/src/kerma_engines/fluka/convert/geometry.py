"""Write figures and zones as named bodies and regions (COMBNAME)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.fluka.convert.cards import card, free
from kerma_engines.fluka.convert.materials import BLACK_HOLE
from kerma_engines.geometry.bodies import combinatorial
from kerma_engines.geometry.figures import Box, enlarged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.fluka.convert.materials import Materials
    from kerma_engines.geometry.bodies import Body
    from kerma_engines.geometry.csg import Layout, Term
    from kerma_engines.project.project import Project

WORLD = "world"
"""The region outside all zones."""

MARGIN = 10.0  # cm, of the black hole around the world


def region_name(zone: int) -> str:
    """Return the region of a project's zone, by its index: names have at most eight characters."""
    return f"region{zone}" if zone < 100 else f"reg{zone}"


def geometry_cards(project: Project, layout: Layout) -> Iterator[str]:
    """Return the cards from GEOBEGIN to GEOEND."""
    space = layout.space
    world = next(iter(layout.boundary))
    bound = next(iter(space.add(enlarged(project.world.geometry_data, MARGIN))))
    names = {number: f"fig{number - 1}" for number in range(1, len(space.bodies) + 1)}
    names |= {world: "figworld", bound: "figbound"}
    yield card("GEOBEGIN", [], "COMBNAME")
    yield "    0    0"
    for number, body in enumerate(space.bodies, start=1):
        yield from _body(names[number], body)
    yield "END"
    for k, terms in enumerate(layout.zones):
        yield from _region(region_name(k), terms, names)
    if layout.world:
        yield from _region(WORLD, layout.world, names)
    yield from _region("boundary", (frozenset([bound, -world]),), names)
    yield "END"
    yield "GEOEND"


def assignments(project: Project, layout: Layout, materials: Materials) -> list[str]:
    """Return ASSIGNMA cards and define the materials that they name."""
    owners = [
        (project.zone_paths[k], region_name(k), project.zone_material(zone))
        for k, zone in enumerate(project.zones)
    ]
    if layout.world:
        owners.append((project.world_path, WORLD, project.zone_material(project.world)))
    cards = [
        card("ASSIGNMA", [materials.name(path, used), region]) for path, region, used in owners
    ]
    return [*cards, card("ASSIGNMA", [BLACK_HOLE, "boundary"])]


def _body(name: str, body: Body) -> list[str]:
    if isinstance(body.solid, Box) and body.solid.aligned:
        sides = [side for k in range(3) for side in (body.low[k], body.high[k])]
        return _free("RPP", name, sides)
    kind, values = combinatorial(body)
    return _free(kind, name, values)


def _free(kind: str, name: str, values: list[float]) -> list[str]:
    numbers = [f"{round(float(value), 12) + 0.0:+.15g}" for value in values]
    return free(
        [kind, name, *(text if "." in text or "e" in text else f"{text}.0" for text in numbers)]
    )


def _region(name: str, terms: tuple[Term, ...], names: dict[int, str]) -> list[str]:
    words = [name, "5"]
    for term in terms:
        if len(terms) > 1:
            words.append("|")
        ordered = sorted(term, key=lambda n: (n < 0, abs(n)))
        words += [f"{'+' if number > 0 else '-'}{names[abs(number)]}" for number in ordered]
    return free(words)
