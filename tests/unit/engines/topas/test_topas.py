"""TOPAS: parameters of converted projects, and what its parameters can't express."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine_geometry import topas_labels
from engine_inputs import (
    detector,
    editor_project,
    figure,
    phantom,
    project,
    real_project,
    truth,
    turn,
    with_beam,
    zone,
)
from kerma_engines.errors import InvalidInput
from kerma_engines.topas.engine import TOPAS
from topas_parameters import checked


def text(mapping: dict[str, Any]) -> str:
    return TOPAS.convert(mapping).files["topas.txt"]


def parameters(mapping: dict[str, Any]) -> dict[str, str]:
    return {name: known.value for name, known in checked(text(mapping)).items()}


def refused(mapping: dict[str, Any]) -> set[str]:
    with pytest.raises(InvalidInput) as verdict:
        TOPAS.convert(mapping)
    return {problem.path for problem in verdict.value.problems}


def test_ex6_is_built_of_nested_components() -> None:
    mapping = real_project("ex6")
    written = text(mapping)
    points = np.array([[0, 0, 0], [3, 0, -4.5], [0, 0, -4.5], [0, 0, 5], [5.2, 0, 0], [0, 9, 0]])
    labels = ["G4_WATER", "G4_Pb", "G4_AIR", "G4_AIR", "G4_AIR", "Vacuum"]
    assert list(topas_labels(written, points.astype(float))) == labels
    assert "LayeredMassGeometryWorlds" not in written


def test_bodies_that_cross_are_layered() -> None:
    figures = [
        figure("a", "sphere", (0, 0, 0), radius=2),
        figure("b", "sphere", (2, 0, 0), radius=2),
    ]
    zones = [zone("front", 276, "b"), zone("back", 82, "a-b")]
    written = text(project(figures, zones, figure("w", "box", width=12, height=9, depth=9)))
    points = np.array([[-1.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]])
    assert list(topas_labels(written, points)) == ["G4_Pb", "G4_WATER", "G4_WATER"]
    assert "LayeredMassGeometryWorlds = 2" in written


def test_the_world_holds_beam_and_detectors() -> None:
    far = detector(position=[0, 40, 0])
    found = parameters(with_beam(position=[0, 0, -70]) | {"detectorManager": {"detectors": [far]}})
    half = [float(found[f"Ge/World/HL{axis}"].split()[0]) for axis in "XYZ"]
    assert half[1] > 41.5
    assert half[2] > 70


def compare(mapping: dict[str, Any], count: int = 40_000) -> None:
    """Check that materials at random points of the world agree, except close to surfaces."""
    names = {82: "G4_Pb", 276: "G4_WATER", 104: "G4_AIR", 1000: "Vacuum", 13: "G4_Al"}
    materials = mapping["materialManager"]["materials"]
    icru = {known["uuid"][:32]: known["icru"] for known in materials}  # as answers are truncated
    world = mapping["zoneManager"]["worldZone"]["geometryData"]
    sides = np.array([world["parameters"][side] for side in ("width", "height", "depth")])
    points = (np.random.default_rng(3).random((count, 3)) - 0.5) * sides + world["position"]
    wanted = [names[icru[uuid]] for uuid in truth(mapping, points)]
    assert len(set(wanted)) > 1
    assert list(topas_labels(text(mapping), points)) == wanted


def test_ex2_is_layered_with_what_a_figure_shares_with_another() -> None:
    mapping = editor_project("ex2")
    compare(mapping)
    found = parameters(mapping)
    caps = [name.split("/")[1] for name, value in found.items() if value == "G4Ellipsoid"]
    assert len(caps) == 1
    assert found[f"Ge/{caps[0]}/Material"] == "G4_WATER"
    assert caps[0] in found["Ph/Default/LayeredMassGeometryWorlds"].split()
    ends = [float(found[f"Ge/{caps[0]}/{end}"].split()[0]) for end in ("ZBottom", "ZTop")]
    # of a sphere of 6 cm, from where it is as narrow as the cylinder of 3 cm
    np.testing.assert_allclose(sorted(map(abs, ends)), [27**0.5, 6.0])


SHARED = {
    "boxes": (
        figure("a", "box", width=4, height=4, depth=4),
        figure("b", "box", (1, 1.5, 0), (0, 90, 0), width=6, height=3, depth=3),
    ),
    "cylinders": (
        figure("a", "cylinder", (1, 0, 0), (0, 90, 0), radius=2, depth=4),
        figure("b", "cylinder", (-1, 0, 0), (0, 90, 0), radius=1.5, depth=4),
    ),
    "a ball that reaches out at both ends": (
        figure("a", "cylinder", (0, 0.5, 0), (90, 0, 0), radius=1, depth=4.2),
        figure("b", "sphere", (0, 0.2, 0), radius=2.2),
    ),
    "a ball narrower than the cylinder": (
        figure("a", "cylinder", (0, 0, 1), radius=3, depth=3),
        figure("b", "sphere", (0, 0, -0.2), radius=2),
    ),
    "a cylinder that ends within the ball": (
        figure("a", "cylinder", (0, 0, 2), radius=1, depth=4),
        figure("b", "sphere", (0, 0, 0), radius=2),
    ),
}


@pytest.mark.parametrize("kind", SHARED)
def test_what_figures_share_may_have_a_material_of_its_own(kind: str) -> None:
    zones = [zone("both", 82, "a*b"), zone("one", 276, "a"), zone("other", 13, "b")]
    # the rest of the first has another material than the intersection, so nothing else can be on
    # top
    world = figure("w", "box", width=12, height=9, depth=9)
    compare(project(list(SHARED[kind]), zones, world))


def test_zones_that_need_booleans_are_refused_by_name() -> None:
    figures = [
        figure("a", "box", width=4, height=4, depth=4),
        figure("b", "sphere", (2, 1, 0), radius=2),
        figure("c", "box", (-4, 0, 0), width=1, height=1, depth=1),
    ]
    zones = [
        zone("both", 82, "a*b"),
        zone("one", 276, "a"),
        zone("far", 13, "c"),
        zone("b", 13, "b"),
    ]
    mapping = project(figures, zones, figure("w", "box", width=12, height=9, depth=9))
    with pytest.raises(InvalidInput) as verdict:
        TOPAS.convert(mapping)
    (problem,) = verdict.value.problems
    assert problem.path == "zoneManager.zones"
    assert problem.reason.endswith(": both, one, b")


def test_a_changed_density_defines_a_material() -> None:
    manager = phantom()["zoneManager"] | {"zones": [zone("z", 276, "f", density=1.032)]}
    found = parameters(phantom(zoneManager=manager))
    name = found["Ge/Body1/Material"]
    assert found[f"Ma/{name}/Components"] == "2 Hydrogen Oxygen"
    assert found[f"Ma/{name}/Density"] == "1.032 g/cm3"
    assert found[f"Ma/{name}/MeanExcitationEnergy"] == "78 eV"


def test_a_black_hole_inside_is_refused() -> None:
    manager = phantom()["zoneManager"] | {"zones": [zone("z", 0, "f")]}
    assert refused(phantom(zoneManager=manager)) == {"zoneManager.zones[0].materialUuid"}


def test_a_black_hole_around_separate_figures_is_refused() -> None:
    figures = [
        figure("a", "sphere", (-2, 0, 0), radius=1),
        figure("b", "sphere", (2, 0, 0), radius=1),
    ]
    zones = [zone("a", 276, "a"), zone("b", 276, "b")]
    mapping = project(figures, zones, figure("w", "box", width=9, height=9, depth=9), 0)
    assert refused(mapping) == {"zoneManager.worldZone.materialUuid"}


@pytest.mark.parametrize("direction", [[0, 0, 1], [0, 0, -1], [-1, 0, 0], [0, -1, 0], [1, 2, -3]])
def test_the_beam_goes_where_the_project_says(direction: list[float]) -> None:
    found = parameters(with_beam(direction=direction, position=[1, 2, 3]))
    angles = [float(found[f"Ge/BeamPosition/Rot{axis}"].split()[0]) for axis in "XYZ"]
    axes = turn(*angles).T  # Geant4 rotates the parent's frame
    wanted = np.array(direction) / np.linalg.norm(direction)
    np.testing.assert_allclose(axes[:, 2], wanted, atol=1e-9)
    assert found["Ge/BeamPosition/TransY"] == "2 cm"


def test_source_in_numbers() -> None:
    found = parameters(
        with_beam(
            particle={"id": 25, "a": 12, "z": 6},
            energy=200,
            energyUnit="MeV/nucl",
            energySpread=2,
            sigma={"type": "Flat square", "x": 1, "y": 2},
            numberOfParticles=12345,
        )
    )
    assert found["So/Beam/BeamParticle"] == "GenericIon(6,12,6)"
    assert found["So/Beam/BeamEnergy"] == "2400 MeV"
    assert found["So/Beam/BeamEnergySpread"] == "1"
    assert found["So/Beam/BeamPositionCutoffShape"] == "Rectangle"
    assert found["So/Beam/BeamPositionCutoffY"] == "2 cm"
    assert found["So/Beam/NumberOfHistoriesInRun"] == "12345"


@pytest.mark.parametrize("sigma", [{"x": 0, "y": 0}, {"type": "Gaussian", "x": 0.3, "y": 0.2}])
def test_gaussian_beams_that_diverge_are_emittance_sources(sigma: dict[str, Any]) -> None:
    found = parameters(with_beam(sigma=sigma, divergence={"x": 0.1, "y": -4}))
    assert (found["So/Beam/Type"], found["So/Beam/Distribution"]) == ("Emittance", "BiGaussian")
    assert found["So/Beam/SigmaX"] == f"{sigma['x']} cm"
    assert (found["So/Beam/SigmaXprime"], found["So/Beam/SigmaYprime"]) == ("0.0001", "0.004")
    assert "So/Beam/BeamAngularSpreadX" not in found


def test_flat_beams_diverge_as_beams() -> None:
    flat = {"type": "Flat circular", "x": 0, "y": 2}
    mapping = with_beam(sigma=flat, divergence={"x": 1, "y": 0})
    found = parameters(mapping)
    assert (found["So/Beam/Type"], found["So/Beam/BeamAngularSpreadX"]) == ("Beam", "0.001 rad")
    assert float(found["So/Beam/BeamAngularSpreadY"].split()[0]) > 0  # TOPAS refuses zero
    notes = TOPAS.convert(mapping).options["notes"]
    assert any(note.startswith("beam.divergence: TOPAS rounds") for note in notes)


def test_cut_offs_leave_the_rest_of_the_spectrum() -> None:
    cuts = {"energySpread": 4, "energyLowCutoff": 149, "energyHighCutoff": 155}
    mapping = with_beam(**cuts)
    found = parameters(mapping)
    assert "So/Beam/BeamEnergy" not in found
    assert found["So/Beam/BeamEnergySpectrumType"] == "Continuous"
    count, *values = found["So/Beam/BeamEnergySpectrumValues"].removesuffix(" MeV").split()
    energies = np.array(values, dtype=float)
    weights = np.array(found["So/Beam/BeamEnergySpectrumWeights"].split()[1:], dtype=float)
    assert int(count) == energies.size == weights.size
    assert np.all(np.diff(energies) > 0)
    # TOPAS draws a line from 0 to the first point
    density = np.interp(np.array([0.0, 100, 148.9, 150, 155.1]), energies, weights, 0, 0)
    assert list(density > 0) == [False, False, False, True, False]
    mean = np.trapezoid(weights * energies, energies) / np.trapezoid(weights, energies)
    fine = np.linspace(149, 155, 100_001)
    gauss = np.exp(-0.5 * ((fine - 150) / 4) ** 2)
    np.testing.assert_allclose(mean, (gauss * fine).sum() / gauss.sum(), rtol=1e-5)
    assert not any("cut-off" in note for note in TOPAS.convert(mapping).options["notes"])


def test_cut_offs_beyond_the_spectrum_leave_it_as_it_is() -> None:
    found = parameters(with_beam(energySpread=1, energyLowCutoff=10, energyHighCutoff=1000))
    assert (found["So/Beam/BeamEnergy"], found["So/Beam/BeamEnergySpread"][:5]) == (
        "150 MeV",
        "0.666",
    )
    assert "So/Beam/BeamEnergySpectrumType" not in found


@pytest.mark.parametrize(
    "cuts",
    [
        {"energySpread": 0, "energyLowCutoff": 151},
        {"energySpread": 3, "energyLowCutoff": 160, "energyHighCutoff": 155},
    ],
)
def test_cut_offs_that_leave_nothing_are_refused(cuts: dict[str, float]) -> None:
    assert refused(with_beam(**cuts)) == {"beam.energyLowCutoff"}


def test_nuclear_reactions_can_be_left_out() -> None:
    with_them = parameters(phantom())["Ph/Default/Modules"]
    without = parameters(phantom(physic={"enableNuclearReactions": False}))["Ph/Default/Modules"]
    assert "QGSP" in with_them
    assert "QGSP" not in without
