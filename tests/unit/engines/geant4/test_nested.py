"""Projects of the editor's Geant4 mode: nested figures, filters and spectra."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.code import GEOMETRY, MACRO
from kerma_engines.geant4.engine import Geant4
from kerma_engines.project.project import parse_project
from kit.inputs import editor as make
from kit.pages import errors_of
from kit.programs.geant4 import located, transport

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kerma_engines.geometry.figures import Solid

PROTONS = {
    "uuid": "f",
    "name": "Protons",
    "filterType": "particle",
    "data": {
        "particleTypes": [{"id": 2, "name": "Proton"}],
        "kineticEnergyLow": 1,
        "kineticEnergyHigh": 10,
        "kineticEnergyUnit": "MeV",
    },
}
SPECTRUM = {
    "keyword": "KineticEnergySpectrum",
    "histogramNBins": 100,
    "histogramMin": 0,
    "histogramMax": 0.2,
    "histogramUnit": "GeV",
    "histogramXScale": "none",
    "histogramXBinScheme": "linear",
}


def phantom(**more: Any) -> dict[str, Any]:
    """Water in vacuum in a black hole, deeper than the range of 150 MeV protons."""
    water = make.drawn("water", "water", make.cylinder(5, 20, position=[0, 0, -0.5]))
    vacuum = make.drawn("vacuum", "vacuum", make.cylinder(5.5, 22), water)
    world = make.drawn("world", "black_hole", make.cylinder(6, 24), vacuum)
    beam = {"energy": 150, "energySpread": 1.5, "position": [0, 0, -10.5]}
    return make.tree_project(world, **{**beam, **more})


def members(drawn: dict[str, Any], points: NDArray[np.float64]) -> NDArray[np.str_]:
    """Return materials at points, shape (n, 3) in the frame of the mother: the
    deepest figure wins.
    """
    project = parse_project(make.project({"a": drawn["geometryData"]}, [make.zone("water", "a")]))
    solid: Solid = project.figures[0].solid
    inside = solid.contains(points)
    found = np.where(inside, drawn["simulationMaterial"]["geant4_name"], "").astype("<U20")
    free = inside.copy()
    for child in drawn["children"]:
        here = members(child, solid.local(points))
        taken = free & (here != "")
        found[taken] = here[taken]
        free &= ~taken
    return found


def check(world: dict[str, Any], directory: Path) -> str:
    """Compare the materials that Geant4 finds with those of the tree; return the geometry."""
    points = np.random.default_rng(5).uniform(-12, 12, (4000, 3))
    text = Geant4().convert(make.tree_project(world)).files[GEOMETRY]
    wanted = members(world, points)
    found = [material for _, material, _ in located(text, points, directory)]
    pairs = [
        (w or "G4_Galactic", f or "G4_Galactic")
        for w, f in zip(wanted.tolist(), found, strict=True)
    ]
    assert all(w == f for w, f in pairs), [pair for pair in pairs if pair[0] != pair[1]][:5]
    assert len(set(pairs)) > 2
    return text


TURNED: dict[str, Any] = {"position": [1, -2, 3], "rotation": [30, -50, 20]}


def test_figures_are_placed_in_those_around_them(tmp_path: Path) -> None:
    inner = make.drawn("c", "lead", make.sphere(1, position=[0, 1, 1]))
    tube = make.drawn("b", "air", make.cylinder(2.5, 4, rotation=[0, 90, 10]), inner)
    beside = make.drawn("d", "pmma", make.box((2, 2, 2), position=[3.4, 3.4, 3.4]))
    block = make.drawn("a", "water", make.box((9, 9, 9), **TURNED), tube, beside)
    world = make.drawn("w", "vacuum", make.box((23, 23, 23), position=[0, 0.5, 0]), block)
    text = check(world, tmp_path)
    assert "subtraction" not in text


def test_a_turned_world_turns_all_in_it(tmp_path: Path) -> None:
    block = make.drawn("a", "water", make.box((6, 3, 2), position=[2, 0, 0], rotation=[0, 0, 45]))
    world = make.drawn("w", "air", make.box((18, 16, 14), **TURNED), block)
    check(world, tmp_path)


def test_a_figure_that_reaches_out_is_cut(tmp_path: Path) -> None:
    inner = make.drawn("c", "lead", make.sphere(3, position=[0, 0, 4]))
    other = make.drawn("d", "pmma", make.box((4, 4, 4), position=[0, 0, 3]))
    block = make.drawn("a", "water", make.box((10, 8, 10), **TURNED), inner, other)
    world = make.drawn("w", "vacuum", make.box((23, 23, 23)), block)
    check(world, tmp_path)
    notes = Geant4().convert(make.tree_project(world)).options["notes"]
    assert [note.split(":")[0] for note in notes] == [
        "figureManager.figures[0].children[0].children[0]",
        "figureManager.figures[0].children[0].children[1]",
    ]


@pytest.mark.parametrize("seed", range(4))
def test_random_trees_agree_with_point_membership(seed: int, tmp_path: Path) -> None:
    choose = random.Random(seed)
    count = 0

    def figure(size: float, depth: int) -> dict[str, Any]:
        nonlocal count
        count += 1
        name = f"n{count}"
        place = {
            "position": [choose.uniform(-0.15, 0.15) * size for _ in range(3)],
            "rotation": [choose.choice([0, 90, choose.uniform(-180, 180)]) for _ in range(3)],
        }
        a, b, c = (choose.uniform(0.4, 0.8) * size for _ in range(3))
        shape = choose.choice(
            [
                make.box((a, b, c), **place),
                make.cylinder(a / 2, b, choose.choice([0, a / 20]), **place),
                make.sphere(a / 2, **place),
            ]
        )
        children = [figure(0.6 * size, depth - 1) for _ in range(2)] if depth else []
        material = choose.choice(["water", "lead", "air", "pmma"])
        return make.drawn(name, material, shape, *children)

    world = make.drawn("w", "vacuum", make.box((20, 20, 20)), figure(14, 2), figure(14, 2))
    check(world, tmp_path)


def test_hundreds_of_figures_in_one_stay_simple() -> None:
    rods = [
        make.drawn(f"r{k}", "lead", make.cylinder(0.2, 4, position=[k % 20 - 10, k // 20 - 10, 0]))
        for k in range(400)
    ]
    block = make.drawn("a", "water", make.box((24, 24, 5)), *rods)
    world = make.drawn("w", "vacuum", make.box((30, 30, 30)), block)
    text = Geant4().convert(make.tree_project(world)).files[GEOMETRY]
    assert text.count("<tube") == 400
    assert "subtraction" not in text


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"simulationMaterial": None}, "figureManager.figures[0].children[0].simulationMaterial"),
        (
            {"simulationMaterial": {"icru": 276, "geant4_name": "G4_AIR"}},
            "figureManager.figures[0].children[0].simulationMaterial",
        ),
        (
            {"simulationMaterial": {"geant4_name": "G4_lH2"}},
            "figureManager.figures[0].children[0].simulationMaterial",
        ),
        (
            {"geometryData": make.sphere(1, position=[20, 0, 0])},
            "figureManager.figures[0].children[0]",
        ),
        ({"uuid": "w"}, "figureManager.figures[0].children[0].uuid"),
    ],
)
def test_what_a_tree_cannot_mean_is_refused(change: dict[str, Any], path: str) -> None:
    inner = {**make.drawn("a", "water", make.box((1, 1, 1))), **change}
    definition = make.tree_project(make.drawn("w", "air", make.box((9, 9, 9)), inner))
    with pytest.raises(InvalidInput) as caught:
        parse_project(definition)
    assert path in {problem.path for problem in caught.value.problems}


def test_nothing_lies_beside_the_world() -> None:
    definition = make.tree_project(make.drawn("w", "air", make.box((9, 9, 9))))
    definition["figureManager"]["figures"].append(make.drawn("a", "air", make.box((1, 1, 1))))
    with pytest.raises(InvalidInput, match="outside of the world"):
        parse_project(definition)


def test_figures_are_nested_or_combined_but_not_both() -> None:
    definition = make.project({"a": make.box((4, 4, 4))}, [make.zone("water", "a")])
    inner = make.drawn("b", "water", make.box((1, 1, 1)))
    definition["figureManager"]["figures"][0]["children"] = [inner]
    with pytest.raises(InvalidInput, match="not both"):
        Geant4().convert(definition)


@pytest.mark.parametrize("name", ["shieldhit", "fluka", "topas"])
def test_other_engines_take_trees_as_zones(name: str) -> None:
    inputs = engine(name).convert(
        phantom(filters=[PROTONS], quantities=[{"keyword": "Fluence", "filter": "f"}])
    )
    text = "\n".join(inputs.files.values())
    if name == "shieldhit":
        geometry = inputs.files["geo.dat"].splitlines()
        assert [line.split() for line in geometry if line[2:3] == "0"] == [
            ["001", "+1"],
            ["002", "+2", "-1"],
            ["003", "+3", "-2"],
        ]
        assert "Z == 1" in text
    if name == "fluka":
        zones = [line.split() for line in text.splitlines() if line.startswith("region")]
        assert [[word for word in zone if word[0] in "+-"] for zone in zones] == [
            ["+fig0"],
            ["+fig1", "-fig0"],
        ]


def test_spectra_are_fluence_for_other_engines() -> None:
    definition = phantom(quantities=[SPECTRUM])
    detect = engine("shieldhit").convert(definition).files["detect.dat"]
    assert "Quantity Fluence\n    Diff1 0 200 100\n    Diff1Type E" in detect
    assert "EBins = 100" in engine("topas").convert(definition).files["topas.txt"]


def test_depth_dose_equals_the_recorded_run_with_full_data(tmp_path: Path) -> None:
    """Energy that protons deposit in slabs of 2 cm of water, MeV per primary.

    The numbers are those of Geant4 with all data sets for such a project in the editor.
    """
    recorded = [11.73, 12.53, 13.36, 14.26, 15.52, 17.34, 20.96, 34.39]
    slices = {
        "geometryType": "Cyl",
        "position": [0, 0, -0.5],
        "parameters": {"radius": 5, "depth": 20, "zSegments": 10},
    }
    definition = phantom(
        detectors=[slices],
        filters=[PROTONS],
        quantities=[{"keyword": "Energy", "filter": "f"}, {"keyword": "DoseGy"}],
    )
    energy, dose = transport(definition, tmp_path, 1000, seed=5)
    assert energy.values[:8] == pytest.approx(recorded, rel=0.03)
    band = np.pi * 25 * 2  # grams
    np.testing.assert_allclose(
        dose.values[:8] * band / 1.602176634e-10, energy.values[:8], rtol=0.05
    )


def test_a_spectrum_adds_up_to_the_fluence(tmp_path: Path) -> None:
    slab = {
        "geometryType": "Cyl",
        "position": [0, 0, -10.45],
        "parameters": {"radius": 5, "depth": 0.1},
    }
    spectra = [
        {**SPECTRUM, "filter": "f"},
        {**SPECTRUM, "filter": "f", "histogramXBinScheme": "log", "histogramMin": 1e-6},
        {**SPECTRUM, "filter": "f", "histogramXScale": "log10", "histogramMin": 1e-6},
        {"keyword": "Fluence", "filter": "f"},
    ]
    definition = phantom(detectors=[slab], filters=[PROTONS], quantities=spectra)
    *pages, fluence = transport(definition, tmp_path, 200, seed=5)
    for page in pages:
        assert (page.name, page.unit) == ("FLUENCE", "/cm^2/MeV/prim")
        widths = np.diff(page.axes[0].edges)
        assert page.axes[0].edges[-1] == pytest.approx(200)
        assert (page.values * widths).sum() == pytest.approx(fluence.values[0], rel=1e-9)
        assert errors_of(page).max() > 0
    assert pages[0].axes[0].centres[pages[0].values.argmax()] == pytest.approx(150, abs=4)
    np.testing.assert_array_equal(pages[1].values, pages[2].values)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"histogramNBins": 0}, "histogramNBins"),
        ({"histogramNBins": None}, "histogramNBins"),
        ({"histogramMax": 0}, "histogramMax"),
        ({"histogramUnit": "J"}, "histogramUnit"),
        ({"histogramXScale": "exp"}, "linear or logarithmic"),
        ({"histogramXBinScheme": "log"}, "histogramMin"),
        ({"modifiers": [{}]}, "no modifiers"),
    ],
)
def test_spectra_without_meaning_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse_project(phantom(quantities=[{**SPECTRUM, **change}]))


def filtered(kind: str, **data: Any) -> list[dict[str, Any]]:
    limits = {"kineticEnergyLow": 1, "kineticEnergyHigh": 10, "kineticEnergyUnit": "keV"}
    return [{"uuid": "f", "name": "F", "filterType": kind, "data": {**limits, **data}}]


@pytest.mark.parametrize(
    ("filters", "line"),
    [
        (filtered("charged"), "/score/filter/charged filter"),
        (filtered("particle", particleTypes=[2]), "/score/filter/particle filter proton"),
        (
            filtered("particle", particleTypes=[{"id": 2}, {"id": 4}]),
            "/score/filter/particle filter proton e-",
        ),
        (
            filtered("particle", particleTypes=[{"id": 2}, {"id": 25, "a": 12, "z": 6}]),
            "/kerma/filter PDG==2212|1000060120",
        ),
        (filtered("kineticEnergy"), "/score/filter/kineticEnergy filter 0.001 0.01 MeV"),
        (
            filtered("particleWithKineticEnergy", particleTypes=[2, 6]),
            "/score/filter/particleWithKineticEnergy filter 0.001 0.01 MeV proton alpha",
        ),
        (
            filtered("particleWithKineticEnergy", particleTypes=[11]),
            "/kerma/filter Z==6 A==12 E>=0.001 E<0.01",
        ),
    ],
)
def test_filters_of_the_geant4_mode(filters: list[dict[str, Any]], line: str) -> None:
    quantities = [{"keyword": "Fluence", "filter": "f"}]
    text = Geant4().convert(phantom(filters=filters, quantities=quantities)).files[MACRO]
    assert line in text.splitlines()


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (filtered("neutral"), "too low by factors"),
        (filtered("particle", particleTypes=[1]), "too low by factors"),
        (filtered("particle", particleTypes=[2, 3]), "too low by factors"),
        (filtered("particle", particleTypes=[]), "names no particle"),
        (filtered("particle", particleTypes=[99]), "no known particle"),
        (filtered("odd"), "filterType"),
        (filtered("kineticEnergy", kineticEnergyUnit="J"), "kineticEnergyUnit"),
        (filtered("kineticEnergy", kineticEnergyHigh=1), "leave nothing"),
    ],
)
def test_filters_that_cannot_be_scored(filters: list[dict[str, Any]], reason: str) -> None:
    quantities = [{"keyword": "Fluence", "filter": "f"}]
    with pytest.raises(InvalidInput, match=reason):
        Geant4().convert(phantom(filters=filters, quantities=quantities))


def test_several_kinds_of_particles_are_scored_together(tmp_path: Path) -> None:
    electron = {**filtered("particle", particleTypes=[4])[0], "uuid": "e"}
    both = {**filtered("particle", particleTypes=[2, 4])[0], "uuid": "b"}
    charged = {**filtered("charged")[0], "uuid": "c"}
    block = make.mesh((10, 10, 20), (1, 1, 1)) | {"position": [0, 0, -0.5]}
    spectrum = {**SPECTRUM, "histogramNBins": 1}
    quantities = [
        {"keyword": "Energy", "filter": "f"},
        {"keyword": "Energy", "filter": "e"},
        {"keyword": "Energy", "filter": "b"},
        {"keyword": "Energy", "filter": "c"},
        {"keyword": "Fluence", "filter": "b"},
        {**spectrum, "filter": "b"},
    ]
    filters = [PROTONS, electron, both, charged]
    definition = phantom(detectors=[block], filters=filters, quantities=quantities)
    pages = transport(definition, tmp_path, 50, seed=5)
    proton, electrons, together, all_charged, fluence, own = (page.values[0] for page in pages)
    assert electrons > 0
    assert together == pytest.approx(proton + electrons, rel=1e-12)
    assert all_charged >= together
    assert own * 200 == pytest.approx(fluence, rel=1e-9)


def test_other_engines_filter_one_kind_of_particle() -> None:
    filters = filtered("particle", particleTypes=[2, 4])
    quantities = [{"keyword": "Fluence", "filter": "f"}]
    with pytest.raises(InvalidInput, match="one kind of particle at a time"):
        engine("shieldhit").convert(phantom(filters=filters, quantities=quantities))
