"""Quantities without a scorer in Geant4: averages, spectra, generations."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.code import MACRO
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.macro import macro
from kerma_engines.geant4.scorers.quantities import AMU, AXES, Passage
from kerma_engines.geant4.transport import result_file
from kerma_engines.results.estimators import MergeClass
from kerma_engines.results.ranges import csda_range_in_water
from kit.inputs import editor as make
from kit.pages import errors_of
from kit.programs.geant4 import transport
from kit.programs.geant4_scores import PROTONS, generation, score, spectrum

if TYPE_CHECKING:
    from pathlib import Path


def test_averages_over_primary_protons(tmp_path: Path) -> None:
    wanted = [{"keyword": k, "filter": "primary"} for k in ("AvgEnergy", "tLET", "dLET")]
    energy, track, dose = score(wanted, tmp_path, energy=150)
    assert [(p.name, p.unit) for p in (energy, track, dose)] == [
        ("AVG-ENERGY", "MeV"),
        ("TLET", "MeV/cm"),
        ("DLET", "MeV/cm"),
    ]
    assert all(p.merge is MergeClass.MEAN for p in (energy, track, dose))
    # the stopping power is the slope of the tabulated range
    slope = (155 - 145) / (csda_range_in_water(155) - csda_range_in_water(145))
    assert track.values[0] == pytest.approx(slope, rel=0.02)
    assert dose.values[0] == pytest.approx(track.values[0], rel=0.001)
    assert energy.values[0] == pytest.approx(150 - 0.05 * slope, rel=0.001)
    assert energy.errors is not None
    assert 0 < energy.errors[0] < 0.1


def test_a_spectrum_holds_the_whole_fluence(tmp_path: Path) -> None:
    quantities: list[dict[str, Any]] = [
        {"keyword": "Fluence", "filter": "p"},
        {"keyword": "Fluence", "filter": "p", "modifiers": [spectrum("E", 0, 160, 320)]},
        {
            "keyword": "Fluence",
            "filter": "p",
            "modifiers": [spectrum("DEDX", 1, 1e3, 60, log=True)],
        },
    ]
    fluence, energies, lets = score(quantities, tmp_path, energy=150)
    (axis,) = energies.axes
    assert (axis.name, axis.unit, energies.unit) == ("Kinetic energy", "MeV", "/cm^2/MeV/prim")
    widths = np.diff(axis.edges)
    assert (energies.values * widths).sum() == pytest.approx(fluence.values[0], rel=1e-9)
    assert axis.centres[energies.values.argmax()] == pytest.approx(149.75, abs=0.6)
    (let_axis,) = lets.axes
    assert (lets.values * np.diff(let_axis.edges)).sum() == pytest.approx(
        fluence.values[0], rel=1e-9
    )
    assert let_axis.centres[lets.values.argmax()] == pytest.approx(5.4, rel=0.12)


def test_two_axes_hold_the_spectrum_of_one(tmp_path: Path) -> None:
    slices = make.mesh((10, 10, 16), (1, 1, 4)) | {"position": [0, 0, 8]}
    energies, angles = spectrum("E", 0, 160, 16), spectrum("ANGLE", 0, 180, 9)
    quantities: list[dict[str, Any]] = [
        {"keyword": "Fluence", "filter": "p", "modifiers": [energies]},
        {"keyword": "Fluence", "filter": "p", "modifiers": [energies, angles]},
        {"keyword": "Fluence", "filter": "p", "modifiers": [angles, energies]},
    ]
    one, two, turned = score(quantities, tmp_path, detector=slices, energy=150)
    assert two.shape == (4, 16, 9)
    assert (two.axes[2].name, two.axes[2].unit) == ("Angle", "deg")
    assert two.unit == "/cm^2/MeV/deg/prim"
    table = two.values.reshape(two.shape, order="F")
    single = one.values.reshape(one.shape, order="F")
    np.testing.assert_allclose(table.sum(axis=2) * 20, single, rtol=1e-9)
    swapped = turned.values.reshape(turned.shape, order="F")
    np.testing.assert_allclose(swapped, table.transpose(0, 2, 1), rtol=1e-12)
    assert table[:, :, 0].sum() > 0.9 * table.sum()  # protons fly forward


def test_spectra_of_dose_and_energy_hold_all_of_it(tmp_path: Path) -> None:
    modifiers = [spectrum("DEDX", 1e-3, 1e5, 40, log=True)]
    quantities: list[dict[str, Any]] = [
        {"keyword": "Dose", "filter": "p"},
        {"keyword": "Dose", "filter": "p", "modifiers": modifiers},
        {"keyword": "DoseGy", "filter": "p", "modifiers": modifiers},
        {"keyword": "Energy", "filter": "p", "modifiers": modifiers},
        {"keyword": "Energy", "filter": "p"},
    ]
    dose, spread, gray, energies, energy = score(quantities, tmp_path, energy=150)
    widths = np.diff(spread.axes[0].edges)
    assert (spread.name, spread.unit) == ("DOSE", "MeV/g/(MeV/cm)/prim")
    assert (gray.name, gray.unit) == ("DOSE-GY", "Gy/(MeV/cm)/prim")
    assert (spread.values * widths).sum() == pytest.approx(dose.values[0], rel=1e-9)
    np.testing.assert_allclose(gray.values, spread.values * 1.602176634e-10, rtol=1e-12)
    assert (energies.values * widths).sum() == pytest.approx(energy.values[0], rel=1e-9)
    np.testing.assert_allclose(errors_of(spread), errors_of(energies) / 10.0)  # 10 g of water


def test_velocities_and_charges(tmp_path: Path) -> None:
    """Helium of known energy: velocity and charge follow special relativity."""
    keywords = ("AvgBeta", "tZ2Beta2", "dZ2Beta2", "tZeff2Beta2", "dZeff2Beta2", "AvgEnergy")
    wanted: list[dict[str, Any]] = [{"keyword": k, "filter": "helium"} for k in keywords]
    ion: dict[str, Any] = {"particle": {"id": 24}, "energy": 100, "energyUnit": "MeV/nucl"}
    *pages, energy = score(wanted, tmp_path, primaries=30, **ion)
    gamma = 1 + energy.values[0] / 3727.379
    beta2 = 1 - 1 / gamma**2
    effective = 2 * (1 - np.exp(-125 * np.sqrt(beta2) / 2 ** (2 / 3)))
    expected = [np.sqrt(beta2), *[4 / beta2] * 2, *[effective**2 / beta2] * 2]
    found = [page.values[0] for page in pages]
    assert found == pytest.approx(expected, rel=1e-4)
    assert [page.name for page in pages] == [
        "AVG-BETA",
        "TRACK-AV-Z2BETA2",
        "DOSE-AV-Z2BETA2",
        "TZEFF2BETA2",
        "DZEFF2BETA2",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("E", 400.0),
        ("ENUC", 100.0),
        ("EAMU", 400.0 * AMU / 3727.379),
        ("Z", 2.0),
        ("Zeff", 2.0),  # fully stripped at this speed
        ("DEDX", 29.2),
        ("MDEDX", 14.6),
        ("ANGLE", 60.0),
        ("Z2Beta2", 4 / 0.184435),
        ("Zeff2Beta2", 4 / 0.184435),
    ],
)
def test_axes_of_a_helium_nucleus(key: str, value: float) -> None:
    passage = Passage(2, 4, 3727.379, 400.0, let=29.2, density=2.0, cosine=0.5)
    assert AXES[key].of(passage) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("key", AXES)
def test_axes_of_what_has_no_mass_charge_or_energy(key: str) -> None:
    for passage in (Passage(0, 0, 0.0, 1.0), Passage(-1, 0, 0.511, 0.0), Passage(1, 1, 938.0, 0.0)):
        assert np.isfinite(AXES[key].of(passage))


def test_a_slow_ion_carries_electrons() -> None:
    carbon = Passage(6, 12, 11174.9, 12 * 0.3)
    assert 2 < carbon.effective_charge < 5


def test_generations_and_energies_add_up(tmp_path: Path) -> None:
    slices = make.mesh((10, 10, 16), (1, 2, 32)) | {"position": [0, 0, 8]}
    quantities: list[dict[str, Any]] = [
        {"keyword": "Fluence", "filter": name} for name in ("p", "primary", "secondary", "fast")
    ]
    everyone, primary, secondary, fast = score(
        quantities, tmp_path, detector=slices, energy=150, primaries=200
    )
    np.testing.assert_allclose(primary.values + secondary.values, everyone.values, rtol=1e-12)
    assert secondary.values.sum() > 0
    assert primary.values.sum() > 5 * secondary.values.sum()
    assert 0 < fast.values.sum() < everyone.values.sum()


def test_every_particle_has_a_generation(tmp_path: Path) -> None:
    """Nuclei emit photons, which set electrons free: the second generation after the primaries."""
    block = make.mesh((10, 10, 16), (1, 1, 1)) | {"position": [0, 0, 8]}
    names = ("beam", "first", "later")
    quantities: list[dict[str, Any]] = [{"keyword": "Fluence", "filter": name} for name in names]
    everything, *parts = score(
        [{"keyword": "Fluence"}, *quantities], tmp_path, detector=block, energy=150, primaries=300
    )
    found = [part.values[0] for part in parts]
    assert sum(found) == pytest.approx(everything.values[0], rel=1e-12)
    assert found[0] > found[1] > found[2] > 0


def test_let_of_stopping_protons_does_not_depend_on_steps(tmp_path: Path) -> None:
    """Thin slices cut the last 0.1 mm into many steps; without them Geant4 takes a single one."""
    keywords = ("Fluence", "tLET", "dLET", "AvgEnergy")
    wanted: list[dict[str, Any]] = [{"keyword": k, "filter": "primary"} for k in keywords]
    depth = 0.02
    found = []
    for name, slices in (("thin", 40), ("thick", 1)):
        layers = make.mesh((10, 10, depth), (1, 1, slices)) | {"position": [0, 0, depth / 2]}
        pages = score(wanted, tmp_path / name, energy=2.4, detector=layers, primaries=400)
        fluence, track, dose, energy = (page.values for page in pages)
        by_dose = fluence * track
        found.append(
            (
                by_dose.sum() / fluence.sum(),
                (dose * by_dose).sum() / by_dose.sum(),
                (energy * fluence).sum() / fluence.sum(),
            )
        )
    thin, thick = found
    assert thick == pytest.approx(thin, rel=0.02)
    assert thick[1] > 1.1 * thick[0]


def test_protons_that_hit_hydrogen_are_no_primaries(tmp_path: Path) -> None:
    """As in SHIELD-HIT12A, neither of the two protons after a collision is of generation 0.

    Behind 2 cm of dense hydrogen a proton of 150 MeV has 123 MeV left. Half of those that collided
    on the way have less than half, and all of them must be missing among the primaries, though no
    detector saw the collision. Below the threshold of pions nothing else happens in hydrogen.
    """
    dense = make.zone("hydrogen", "a", materialPropertiesOverrides={"density": 1.0})
    slab = make.mesh((10, 10, 0.1), (1, 1, 1)) | {"position": [0, 0, 2.05]}
    filters = [
        generation("primary", "==", 0, PROTONS["rules"]),
        generation("first", "==", 1, PROTONS["rules"]),
        generation("later", ">", 1, PROTONS["rules"]),
        PROTONS,
    ]
    modifiers = [spectrum("E", 0, 160, 16)]
    definition = make.project(
        {"a": make.box((10, 10, 20), position=[0, 0, 10])},
        [dense],
        world=make.box((30, 30, 60)),
        detectors=[slab],
        quantities=[
            {"keyword": "Fluence", "filter": f["uuid"], "modifiers": modifiers} for f in filters
        ],
        filters=filters,
        position=[0, 0, -1],
        energy=150,
    )
    pages = transport(definition, tmp_path, 2000, seed=5)
    primary, first, later, everyone = (page.values * 10 * 100 for page in pages)
    np.testing.assert_allclose(primary + first + later, everyone, rtol=1e-9)
    assert primary[:11].sum() == 0
    assert first[:8].sum() > 0
    assert first[8:].sum() > 0
    # cross sections of 23 to 29 mb from 150 to 120 MeV: 3 % of the protons have collided
    assert primary.sum() == pytest.approx(np.exp(-2.0 * 0.0155), abs=0.015)
    # both protons of a collision are counted if both get here, except slow and oblique ones
    assert first.sum() > 1 - primary.sum()


def test_a_spectrum_on_a_mesh_is_ordered_as_its_axes(tmp_path: Path) -> None:
    slices = make.mesh((10, 10, 16), (1, 1, 8)) | {"position": [0, 0, 8]}
    quantities: list[dict[str, Any]] = [
        {"keyword": "AvgEnergy", "filter": "primary"},
        {"keyword": "Fluence", "filter": "primary", "modifiers": [spectrum("E", 0, 160, 40)]},
        {"keyword": "Fluence", "filter": "primary"},
    ]
    mean, spectra, fluence = score(quantities, tmp_path, detector=slices, energy=150)
    assert [axis.name for axis in spectra.axes] == ["Position (Z)", "Kinetic energy"]
    table = spectra.values.reshape(spectra.shape, order="F")
    np.testing.assert_allclose(table.sum(axis=1) * 4, fluence.values, rtol=1e-9)
    centres = spectra.axes[1].centres
    lit = fluence.values > 0.1 * fluence.values.max()
    means = (table @ centres)[lit] / table.sum(axis=1)[lit]
    np.testing.assert_allclose(means, mean.values[lit], atol=2.0)
    assert np.all(np.diff(mean.values[lit]) < 0)


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    wanted = [{"keyword": "dLET", "filter": "secondary"}, {"keyword": "AvgEnergy"}]
    for name in "ab":
        score(wanted, tmp_path / name, primaries=50)
    first, second = (next((tmp_path / name).glob("*.kg4")).read_bytes() for name in "ab")
    assert first == second


def test_the_error_of_an_average_is_that_of_a_ratio(tmp_path: Path) -> None:
    text = Geant4().convert(
        make.project(
            {"a": make.box((1, 1, 1))},
            [make.zone("water", "a")],
            quantities=[{"keyword": "AvgEnergy"}, {"keyword": "Energy"}],
        )
    )
    random = np.random.default_rng(3)
    weights = random.exponential(1.0, 400) * (random.random(400) < 0.7)
    values = weights * random.normal(50, 10, 400)
    own, native = (q.name for q in macro.parse(text.files[MACRO], file="m").meshes[0].scorers)

    def column(number: float) -> array[float]:
        return array("d", [float(number)])

    cross = column((values * weights).sum())
    result_file.write(
        tmp_path / text.outputs[0].file,
        mesh=macro.parse(text.files[MACRO], file="m").meshes[0].name,
        primaries=400,
        code="Geant4 1.2.3",
        shape=(1, 1, 1),
        scorers=[
            (native, column(1), column(1)),
            (own, column(values.sum()), column((values**2).sum())),
            (f"{own}/weight", column(weights.sum()), column((weights**2).sum())),
            (f"{own}/cross", cross, cross),
        ],
    )
    (estimator,) = Geant4().read(tmp_path, text)
    page = estimator.pages[0]
    left_out = np.array(
        [(values.sum() - v) / (weights.sum() - w) for v, w in zip(values, weights, strict=True)]
    )
    jackknife = np.sqrt(399 / 400 * ((left_out - left_out.mean()) ** 2).sum())
    assert page.values[0] == pytest.approx(values.sum() / weights.sum())
    assert page.errors is not None
    assert page.errors[0] == pytest.approx(jackknife, rel=0.02)


@pytest.mark.parametrize(
    "line",
    [
        "/kerma/quantity LET q",
        "/kerma/quantity tLET",
        "/kerma/quantity fluence q E 0 100 10",
        "/kerma/quantity fluence q E 100 0 10 lin",
        "/kerma/quantity fluence q E 0 100 10 log",
        "/kerma/quantity fluence q E 0 100 0 lin",
        "/kerma/quantity fluence q COLOUR 0 100 10 lin",
        "/kerma/quantity fluence q E 0 nan 10 lin",
        "/kerma/quantity fluence q E 0 100 10 lin Z 0 3",
        "/kerma/quantity fluence q E 0 9 9 lin Z 0 9 9 lin ANGLE 0 9 9 lin",
        "/kerma/quantity tLET q\n/kerma/filter E>1.2.3",
        "/kerma/filter Z==1",
        "/kerma/quantity tLET q\n/kerma/filter Z=1",
        "/kerma/quantity tLET q\n/kerma/filter Z==1;A==1",
        "/kerma/quantity tLET q\n/kerma/filter",
        "/kerma/shell ls",
    ],
)
def test_own_commands_are_checked(line: str) -> None:
    text = f"/score/create/boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 1 1 1\n{line}\n/score/close\n/run/beamOn 1"
    with pytest.raises(InvalidInput):
        macro.parse(text, file="m")
