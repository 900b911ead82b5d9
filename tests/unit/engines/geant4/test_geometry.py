"""Zones become volumes: at sampled points Geant4 finds the zone of the expressions."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.code import GEOMETRY
from kerma_engines.geant4.engine import Geant4
from kerma_engines.project.project import parse_project

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kerma_engines.geometry.operand import Operand

from kit.inputs import editor as make
from kit.programs.geant4 import located

POINTS = 3000


def members(
    operands: tuple[Operand, ...], inside: dict[str, NDArray[np.bool_]], count: int
) -> NDArray[np.bool_]:
    result = np.ones(count, dtype=bool)
    for position, operand in enumerate(operands):
        this = inside[operand.object_uuid]
        if operand.mode == "subtraction":
            result = result & ~this
        elif operand.mode == "intersection" or position == 0:
            result = result & this
        else:
            result = result | this
    return result


def expected(definition: dict[str, Any], points: NDArray[np.float64]) -> list[str]:
    """Return the zone at each point by the expressions alone; the first of several zones wins."""
    parsed = parse_project(definition)
    inside = {figure.uuid: figure.solid.contains(points) for figure in parsed.figures}
    world = parsed.world.geometry_data.contains(points)
    names = np.where(world, "world_zone", "World").astype("<U32")
    free = world.copy()
    for number, zone in enumerate(parsed.zones, start=1):
        terms = [members(term, inside, len(points)) for term in zone.union_operations]
        here = free & np.any(terms, axis=0)
        names[here] = f"zone_{number}_{zone.name}"
        free &= ~here
    return [str(name) for name in names]


def check(definition: dict[str, Any], directory: Path, reach: float = 12.0) -> None:
    points = np.random.default_rng(5).uniform(-reach, reach, (POINTS, 3))
    found = [
        name
        for name, _, _ in located(Geant4().convert(definition).files[GEOMETRY], points, directory)
    ]
    wanted = expected(definition, points)
    wrong = [(p.tolist(), f, w) for p, f, w in zip(points, found, wanted, strict=True) if f != w]
    assert not wrong, wrong[:5]
    assert len(set(wanted)) > 1


FIGURES = {
    "a": make.box((6, 4, 8), position=[1, -2, 3], rotation=[30, 0, 0]),
    "b": make.cylinder(3, 7, 1, position=[-2, 1, 0], rotation=[20, 40, 70]),
    "c": make.sphere(4, position=[2, 2, -2]),
    "d": make.box((5, 5, 5), position=[-3, -3, -3], rotation=[-50, 110, 15]),
    "e": make.cylinder(2, 12, rotation=[0, 90, 0]),
    "f": make.box((2, 30, 2), position=[6, 0, 6], rotation=[0, 0, 45]),
}


@pytest.mark.parametrize("name", list(FIGURES))
def test_each_figure_is_where_the_editor_puts_it(name: str, tmp_path: Path) -> None:
    check(make.project(FIGURES, [make.zone("water", name)]), tmp_path)


@pytest.mark.parametrize(
    "world",
    [
        make.box((18, 17, 16), position=[1, 2, -1]),
        make.box((12, 14, 13), position=[1, 0, 1], rotation=[10, 20, 30]),
        make.cylinder(9, 16, position=[0, 1, 0]),
        make.cylinder(7, 18, rotation=[0, 90, 0]),
        make.sphere(9, position=[0, 0, 2]),
        make.cylinder(9, 16, 9),
    ],
)
def test_zones_end_at_the_world(world: dict[str, Any], tmp_path: Path) -> None:
    zones = [make.zone("water", "a-b", "c"), make.zone("lead", "d"), make.zone("pmma", "f")]
    definition = make.project(FIGURES, zones, world=world)
    if world["parameters"].get("innerRadius"):
        # the editor leaves a meaningless inner radius in its world
        plain = make.cylinder(9, 16)
        check_same = make.project(FIGURES, zones, world=plain)
        converted = Geant4().convert(definition).files[GEOMETRY]
        assert converted == Geant4().convert(check_same).files[GEOMETRY]
    else:
        check(definition, tmp_path)


@pytest.mark.parametrize(
    "zones",
    [
        [("a",), ("b",), ("c",), ("d",)],
        [("a-b",), ("b-c",), ("c-d", "e")],
        [("a*b",), ("a-b",), ("c+d-e",)],
        [("-a-b",)],
        [("e",), ("-a*c", "d")],
        [("a", "b", "c"), ("d-a+e", "f*c")],
        [("a",), ("a",), ("b-a",)],
    ],
)
def test_overlapping_zones_belong_to_the_first(
    zones: list[tuple[str, ...]], tmp_path: Path
) -> None:
    check(make.project(FIGURES, [make.zone("water", *terms) for terms in zones]), tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_random_trees_agree_with_point_membership(seed: int, tmp_path: Path) -> None:
    choose = random.Random(seed)

    def place() -> dict[str, Any]:
        return {
            "position": [choose.uniform(-5, 5) for _ in range(3)],
            "rotation": [choose.choice([0, 90, choose.uniform(-180, 180)]) for _ in range(3)],
        }

    def figure() -> dict[str, Any]:
        sizes = [choose.uniform(2, 9) for _ in range(3)]
        shapes = [
            make.box((sizes[0], sizes[1], sizes[2]), **place()),
            make.cylinder(sizes[0] / 2, sizes[1], choose.choice([0, sizes[0] / 4]), **place()),
            make.sphere(sizes[0] / 2, **place()),
        ]
        return choose.choice(shapes)

    figures = {name: figure() for name in "abcdef"}

    def term() -> str:
        names = choose.sample("abcdef", choose.randint(1, 4))
        return names[0] + "".join(choose.choice("+-*-") + name for name in names[1:])

    zones = [make.zone("water", *(term() for _ in range(choose.randint(1, 3)))) for _ in range(5)]
    check(make.project(figures, zones), tmp_path)


def test_materials_carry_what_zones_override(tmp_path: Path) -> None:
    figures = {name: make.box((2, 2, 2), position=[3 * k, 0, 0]) for k, name in enumerate("abcd")}
    zones = [
        make.zone("water", "a", materialPropertiesOverrides={"density": 1.5}),
        make.zone("lead", "b"),
        make.zone("air", "c", materialPropertiesOverrides={"averageIonisationPotential": 90}),
        make.zone("black_hole", "d"),
    ]
    points = np.array([[3.0 * k, 0, 0] for k in range(4)])
    text = Geant4().convert(make.project(figures, zones)).files[GEOMETRY]
    found = [(material, density) for _, material, density in located(text, points, tmp_path)]
    assert [name for name, _ in found] == ["G4_WATER_1", "G4_Pb", "G4_AIR_2", "BlackHole"]
    assert [density for _, density in found][:3] == pytest.approx([1.5, 11.35, 0.00120479])
    assert 'MEE unit="eV" value="90"' in text


@pytest.mark.parametrize(
    "zones",
    [
        [make.zone("water", "a" + "-b" * 5000)],
        [make.zone("water", "a")] * 2000,
        [make.zone("water", *["a*b"] * 1000)],
    ],
)
def test_endless_geometry_is_refused(zones: list[dict[str, Any]]) -> None:
    named = [{**zone, "uuid": f"z{k}"} for k, zone in enumerate(zones)]
    with pytest.raises(InvalidInput, match="too many operations"):
        Geant4().convert(make.project(FIGURES, named))


def test_many_zones_side_by_side_are_fine() -> None:
    figures = {chr(0x4E00 + k): make.box((1, 1, 1), position=[2 * k, 0, 0]) for k in range(400)}
    zones = [make.zone("water", name) for name in figures]
    definition = make.project(figures, zones, world=make.box((1000, 4, 4), position=[400, 0, 0]))
    assert Geant4().convert(definition).files[GEOMETRY].count("<subtraction") == 0
