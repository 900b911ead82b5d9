"""Converted geometry of random projects gives every point the material of the project."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine_geometry import read_fluka, read_geo_dat, topas_labels
from engine_inputs import Points, figure, project, truth, zone
from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput

MATERIALS = (82, 104, 276, 1000, 0)
FLUKA_NAMES = {
    "LEAD": "icru82",
    "AIR": "icru104",
    "WATER": "icru276",
    "VACUUM": "icru1000",
    "BLCKHOLE": "icru0",
}
TOPAS_NAMES = {
    "icru82": "G4_Pb",
    "icru104": "G4_AIR",
    "icru276": "G4_WATER",
    "icru1000": "Vacuum",
}

length = st.integers(2, 12).map(lambda n: 0.5 * n)
place = st.integers(-8, 8).map(lambda n: 0.5 * n)
angle = st.sampled_from([0, 0, 0, 90, 180, 30, -47])
three = st.tuples(place, place, place)
angles = st.tuples(angle, angle, angle)


@st.composite
def solids(draw: st.DrawFn, uuid: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["box", "cylinder", "sphere"]))
    if kind == "box":
        sizes = {key: draw(length) for key in ("width", "height", "depth")}
    elif kind == "sphere":
        sizes = {"radius": draw(length)}
    else:
        radius = draw(length)
        bore = draw(st.sampled_from([0.0, 0.0, 0.5]))
        sizes = {"radius": radius, "innerRadius": bore * radius, "depth": draw(length)}
    return figure(uuid, kind, draw(three), draw(angles), **sizes)


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    names = [f"f{k}" for k in range(draw(st.integers(1, 6)))]
    figures = [draw(solids(name)) for name in names]
    zones = []
    for k in range(draw(st.integers(0, 4))):
        terms = []
        for _ in range(draw(st.integers(1, 3))):
            chain = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4))
            signs = ["", *(draw(st.sampled_from("-*+")) for _ in chain[1:])]
            terms.append("".join(s + n for s, n in zip(signs, chain, strict=True)))
        zones.append(zone(f"z{k}", draw(st.sampled_from(MATERIALS)), *terms))
    worlds: list[tuple[str, dict[str, float]]] = [
        ("box", {"width": 24, "height": 20, "depth": 22}),
        ("sphere", {"radius": 12}),
        ("cylinder", {"radius": 11, "depth": 24}),
    ]
    kind, sizes = draw(st.sampled_from(worlds))
    world = figure("w", kind, draw(three), (0, 0, 0), **sizes)
    return project(figures, zones, world, draw(st.sampled_from(MATERIALS)))


def sample(seed: int, reach: float = 14.0) -> Points:
    return np.random.default_rng(seed).uniform(-reach, reach, (4000, 3))


SLOW = settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])


def expressible(name: str, mapping: dict[str, Any]) -> dict[str, str]:
    """Return the files of a project that the engine can express; others are skipped here."""
    try:
        return dict(engine(name).convert(mapping).files)
    except InvalidInput:
        assume(False)
        raise


@SLOW
@given(projects(), st.integers(0, 2**32))
def test_shieldhit_zones_agree_with_the_project(mapping: dict[str, Any], seed: int) -> None:
    files = expressible("shieldhit", mapping)
    regions = read_geo_dat(files["geo.dat"], files["mat.dat"])
    points = sample(seed)
    wanted = truth(mapping, points)
    in_world = wanted != ""
    # ten columns round rotated bodies, so points within 1e-6 cm of a surface may change sides
    np.testing.assert_array_equal(regions.label(points)[in_world], wanted[in_world])
    assert np.all(regions.count(points)[in_world] == 1)
    assert set(regions.label(points)[~in_world]) <= {"", "icru0"}


@SLOW
@given(projects(), st.integers(0, 2**32))
def test_fluka_regions_agree_with_the_project(mapping: dict[str, Any], seed: int) -> None:
    files = expressible("fluka", mapping)
    regions = read_fluka(files["fl_sim.inp"], FLUKA_NAMES)
    points = sample(seed)
    wanted = truth(mapping, points)
    in_world = wanted != ""
    np.testing.assert_array_equal(regions.label(points)[in_world], wanted[in_world])
    assert np.all(regions.count(points)[in_world] == 1)
    assert set(regions.label(points)[~in_world]) <= {"", "icru0"}


@SLOW
@given(projects(), st.integers(0, 2**32))
def test_topas_components_agree_with_the_project(mapping: dict[str, Any], seed: int) -> None:
    files = expressible("topas", mapping)
    points = sample(seed)
    wanted = truth(mapping, points)
    # vacuum outside a convex body ends particles as a black hole does
    wanted[(wanted == "") | (wanted == "icru0")] = "icru1000"
    labels = np.array([TOPAS_NAMES[label] for label in wanted])
    np.testing.assert_array_equal(topas_labels(files["topas.txt"], points), labels)


def test_two_zones_that_overlap_belong_to_the_first() -> None:
    figures = [
        figure("a", "sphere", (0, 0, 0), radius=3),
        figure("b", "sphere", (2, 0, 0), radius=3),
    ]
    zones = [zone("first", 276, "a"), zone("second", 82, "b")]
    mapping = project(figures, zones, figure("w", "box", width=20, height=20, depth=20))
    inputs = engine("shieldhit").convert(mapping)
    regions = read_geo_dat(inputs.files["geo.dat"], inputs.files["mat.dat"])
    assert regions.label(np.array([[1.0, 0.0, 0.0]])) == ["icru276"]
    assert any("overlaps" in note for note in inputs.options["notes"])


def test_a_zone_outside_of_the_world_is_refused() -> None:
    figures = [figure("a", "sphere", (50, 0, 0), radius=3)]
    mapping = project(
        figures, [zone("z", 276, "a")], figure("w", "box", width=20, height=20, depth=20)
    )
    for name in ("shieldhit", "fluka", "topas"):
        with pytest.raises(InvalidInput, match="no points"):
            engine(name).convert(mapping)


def test_alternatives_grow_with_the_zones_not_with_their_combinations() -> None:
    for count in (8, 16, 32):
        figures = [
            figure(f"a{k}", "box", (0, 0, 3 * k), width=2, height=2, depth=2) for k in range(count)
        ]
        figures += [figure(f"b{k}", "sphere", (1, 0, 3 * k), radius=0.7) for k in range(count)]
        zones = [zone(f"z{k}", 276, f"a{k}-b{k}") for k in range(count)]
        world = figure("w", "box", width=400, height=400, depth=400)
        inputs = engine("shieldhit").convert(project(figures, zones, world))
        regions = read_geo_dat(inputs.files["geo.dat"], inputs.files["mat.dat"])
        assert len(regions.zones) == 2 * count + 2


def test_a_bore_of_the_world_is_not_there() -> None:
    figures = [figure("a", "sphere", radius=1)]
    world = figure("w", "cylinder", radius=6, innerRadius=3, depth=9)
    for name in ("shieldhit", "fluka", "topas"):
        assert engine(name).convert(project(figures, [zone("z", 276, "a")], world))
    files = engine("shieldhit").convert(project(figures, [zone("z", 276, "a")], world)).files
    regions = read_geo_dat(files["geo.dat"], files["mat.dat"])
    assert len(regions.bodies) == 3
    assert regions.label(np.array([[2.0, 0, 0], [5.0, 0, 0]])).tolist() == ["icru1000"] * 2


def test_zones_that_only_touch_do_not_overlap() -> None:
    figures = [
        figure("a", "box", (0, 0, 0), width=4, height=4, depth=4),
        figure("b", "box", (2, 0, 0), width=4, height=4, depth=4),
        figure("c", "box", (1, 0, 0), width=2, height=4, depth=4),
    ]
    # the intersection of a and b is c, flush on all sides
    zones = [zone("left", 276, "a-c"), zone("right", 82, "b-c")]
    mapping = project(figures, zones, figure("w", "box", width=20, height=9, depth=9))
    inputs = engine("shieldhit").convert(mapping)
    assert not any("overlaps" in note for note in inputs.options["notes"])
    points = sample(1, 4.0)
    regions = read_geo_dat(inputs.files["geo.dat"], inputs.files["mat.dat"])
    np.testing.assert_array_equal(regions.label(points), truth(mapping, points))


def test_an_alternative_without_points_changes_nothing() -> None:
    figures = [figure("a", "sphere", radius=1), figure("b", "sphere", (5, 0, 0), radius=1)]
    zones = [zone("z", 276, "a", "a*b")]
    inputs = engine("shieldhit").convert(
        project(figures, zones, figure("w", "box", width=20, height=9, depth=9))
    )
    regions = read_geo_dat(inputs.files["geo.dat"], inputs.files["mat.dat"])
    assert regions.zones[0] == ("1", [[(True, "1")]])


def test_more_figures_than_can_be_compared_are_refused() -> None:
    figures = [figure(f"f{k}", "sphere", (k, 0, 0), radius=0.4) for k in range(1001)]
    world = figure("w", "box", width=4000, height=9, depth=9)
    with pytest.raises(InvalidInput, match="1001 figures"):
        engine("shieldhit").convert(project(figures, [], world))


def test_zones_too_entangled_to_tell_apart_are_refused() -> None:
    random = np.random.default_rng(3)
    names = [f"f{k}" for k in range(60)]
    figures = [
        figure(
            name,
            "box",
            tuple(random.uniform(-2, 2, 3)),
            tuple(random.uniform(0, 90, 3)),
            width=6,
            height=1,
            depth=6,
        )
        for name in names
    ]
    zones = [zone(f"z{k}", 276, f"{names[2 * k]}-{names[2 * k + 1]}") for k in range(30)]
    mapping = project(figures, zones, figure("w", "box", width=40, height=40, depth=40))
    with pytest.raises(InvalidInput, match="too many alternatives"):
        engine("shieldhit").convert(mapping)
