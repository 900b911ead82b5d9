"""Protons in water: range, energy deposited, standard errors, seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.results.ranges import csda_range_in_water, distal_range
from kit.inputs import editor as make
from kit.programs.geant4 import transport

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.physics


def depth_project(
    energy: float, depth: float, bins: int, potential: float | None
) -> dict[str, Any]:
    """A pencil beam on the face of a wide water cylinder, with energy scored in slices."""
    overrides = {"averageIonisationPotential": potential} if potential else {}
    water = make.cylinder(20, depth, position=[0, 0, depth / 2])
    detector = {
        "geometryType": "Cyl",
        "position": [0, 0, depth / 2],
        "parameters": {"radius": 20, "depth": depth, "zSegments": bins, "radialSegments": 1},
    }
    return make.project(
        {"a": water},
        [make.zone("water", "a", materialPropertiesOverrides=overrides)],
        world=make.box((42, 42, 100)),
        detectors=[detector],
        energy=energy,
    )


@dataclass(frozen=True)
class Beam:
    """The result of 20 001 protons with the same physics in slices of 1 mm, G4_WATER with I = 78
    eV.
    """

    energy: float
    depth: float
    primaries: int
    r80: float
    deposited: float


BEAMS = [
    Beam(70, 6, 6000, 4.093, 68.90),
    Beam(150, 20, 5000, 15.877, 143.59),
    Beam(230, 40, 4000, 33.130, 212.18),
]


@pytest.mark.parametrize("beam", BEAMS, ids=lambda beam: f"{beam.energy:g}MeV")
def test_range_and_energy_deposited(beam: Beam, tmp_path: Path) -> None:
    definition = depth_project(beam.energy, beam.depth, round(10 * beam.depth), None)
    (page,) = transport(definition, tmp_path / "run", beam.primaries, 11)
    found = distal_range(page)
    assert found.cm == pytest.approx(beam.r80, rel=0.005)
    assert found.stderr_cm is not None
    assert 0 < found.stderr_cm < 0.005 * beam.r80
    assert page.values.sum() == pytest.approx(beam.deposited, rel=0.01)


def test_range_agrees_with_the_tabulated_one_for_its_potential(tmp_path: Path) -> None:
    definition = depth_project(150, 18, 360, 75)
    (page,) = transport(definition, tmp_path / "run", 4000, 12)
    assert distal_range(page).cm == pytest.approx(csda_range_in_water(150), rel=0.005)


def test_energy_is_conserved_without_nuclear_reactions(tmp_path: Path) -> None:
    definition = depth_project(150, 20, 200, None) | {"physic": {"enableNuclearReactions": False}}
    (page,) = transport(definition, tmp_path / "run", 500, 13)
    assert page.values.sum() == pytest.approx(150.0, rel=0.002)


def test_errors_are_those_that_other_seeds_show(tmp_path: Path) -> None:
    """A wide beam fills 64 columns whose protons are independent of each other."""
    depth, runs = 4.2, 14
    detector = make.mesh((8, 8, depth), (8, 8, 4)) | {"position": [0, 0, depth / 2]}
    definition = make.project(
        {"a": make.box((12, 12, depth), position=[0, 0, depth / 2])},
        [make.zone("water", "a")],
        world=make.box((20, 20, 20)),
        detectors=[detector],
        quantities=[{"keyword": keyword} for keyword in ("Energy", "Fluence", "tLET")],
        energy=70,
        sigma={"type": "Flat square", "x": 4, "y": 4},
        position=[0, 0, -1],
    )
    tasks = [transport(definition, tmp_path / f"{k}", 3000, seed=k + 1) for k in range(runs)]
    values = np.array([[page.values for page in pages] for pages in tasks])
    errors = np.array([[page.errors for page in pages] for pages in tasks])
    assert values.shape == (runs, 3, 256)
    seen = values.var(axis=0, ddof=1).mean(axis=1)
    told = (errors**2).mean(axis=(0, 2))
    assert seen / told == pytest.approx(1.0, abs=0.15)
    # without mean LET: rare slow nuclei make it far from normal in a bin of 47 protons
    sums, sums_errors = values[:, :2], errors[:, :2]
    others = (sums.sum(axis=0) - sums) / (runs - 1)
    # the mean of the others has an error too, small beside that of one run
    covered = np.abs(sums - others) < sums_errors * np.sqrt(1 + 1 / (runs - 1))
    assert covered.mean(axis=(0, 2)) == pytest.approx(0.68, abs=0.05)
