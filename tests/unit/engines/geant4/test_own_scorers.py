"""Quantities that Geant4 has no scorer for: averages, spectra, generations."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.estimators import MergeClass, Page
from kerma_engines.geant4 import macro, result_file
from kerma_engines.geant4.engine import MACRO, Geant4
from kerma_engines.physics import csda_range_in_water
from kit import editor as make
from kit.geant4 import transport

if TYPE_CHECKING:
    from pathlib import Path

PROTONS = {
    "uuid": "p",
    "name": "Protons",
    "rules": [
        {"keyword": "Z", "operator": "==", "value": 1},
        {"keyword": "A", "operator": "==", "value": 1},
    ],
}


def generation(uuid: str, compare: str, value: int) -> dict[str, Any]:
    rule = {"keyword": "GEN", "operator": compare, "value": value}
    return {"uuid": uuid, "name": uuid, "rules": [*PROTONS["rules"], rule]}


def spectrum(key: str, low: float, high: float, n: int, *, log: bool = False) -> dict[str, Any]:
    return {
        "diffType": key,
        "lowerLimit": low,
        "upperLimit": high,
        "binsNumber": n,
        "isLog": log,
    }


def score(
    quantities: list[dict[str, Any]],
    directory: Path,
    *,
    primaries: int = 100,
    detector: dict[str, Any] | None = None,
    **beam: Any,
) -> list[Page]:
    """A thick water block; by default scored in its first millimetre."""
    definition = make.project(
        {"a": make.box((10, 10, 20), position=[0, 0, 10])},
        [make.zone("water", "a")],
        world=make.box((30, 30, 60)),
        detectors=[detector or make.mesh((10, 10, 0.1), (1, 1, 1)) | {"position": [0, 0, 0.05]}],
        quantities=quantities,
        filters=[
            PROTONS,
            generation("primary", "==", 0),
            generation("secondary", ">=", 1),
            {
                "uuid": "fast",
                "name": "fast",
                "rules": [{"keyword": "ENUC", "operator": ">", "value": 30}],
            },
        ],
        position=[0, 0, -1],
        **beam,
    )
    return transport(definition, directory, primaries, seed=17)


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
    assert (axis.name, axis.unit, energies.unit) == ("Energy", "MeV", "1/cm2/MeV/prim")
    widths = np.diff(axis.edges)
    assert (energies.values * widths).sum() == pytest.approx(fluence.values[0], rel=1e-9)
    assert axis.centres[energies.values.argmax()] == pytest.approx(149.75, abs=0.6)
    (let_axis,) = lets.axes
    assert (lets.values * np.diff(let_axis.edges)).sum() == pytest.approx(
        fluence.values[0], rel=1e-9
    )
    assert let_axis.centres[lets.values.argmax()] == pytest.approx(5.4, rel=0.12)


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


def test_a_spectrum_on_a_mesh_is_ordered_as_its_axes(tmp_path: Path) -> None:
    slices = make.mesh((10, 10, 16), (1, 1, 8)) | {"position": [0, 0, 8]}
    quantities: list[dict[str, Any]] = [
        {"keyword": "AvgEnergy", "filter": "primary"},
        {"keyword": "Fluence", "filter": "primary", "modifiers": [spectrum("E", 0, 160, 40)]},
        {"keyword": "Fluence", "filter": "primary"},
    ]
    mean, spectra, fluence = score(quantities, tmp_path, detector=slices, energy=150)
    assert [axis.name for axis in spectra.axes] == ["Position (Z)", "Energy"]
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
        "/kerma/filter Z==1",
        "/kerma/quantity tLET q\n/kerma/filter Z=1",
        "/kerma/quantity tLET q\n/kerma/filter Z==1;A==1",
        "/kerma/quantity tLET q\n/kerma/filter",
        "/kerma/shell ls",
    ],
)
def test_own_commands_are_checked(line: str) -> None:
    text = f"/score/create/boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n{line}\n/score/close\n/run/beamOn 1"
    with pytest.raises(InvalidInput):
        macro.parse(text, file="m")
