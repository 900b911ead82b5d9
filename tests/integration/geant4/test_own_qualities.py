"""Beam qualities and dose equivalent, scored in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.geant4.scorers.quantities import quality_factor
from kit.inputs import editor as make
from kit.pages import errors_of
from kit.programs.geant4 import transport
from kit.programs.geant4_scores import score, spectrum

if TYPE_CHECKING:
    from pathlib import Path


def test_beam_qualities(tmp_path: Path) -> None:
    """Helium of known energy: Q is z^2 over the energy per amu, Q_eff is z_eff^2/beta^2."""
    keywords = ("tQ", "dQ", "tQeff", "dQeff", "tZeff2Beta2", "AvgEnergy")
    wanted: list[dict[str, Any]] = [{"keyword": k, "filter": "helium"} for k in keywords]
    ion: dict[str, Any] = {"particle": {"id": 24}, "energy": 100, "energyUnit": "MeV/nucl"}
    *pages, other, energy = score(wanted, tmp_path, primaries=30, **ion)
    quality = 4 / (energy.values[0] / 4.001506)
    expected = [quality, quality, other.values[0], other.values[0]]
    assert [page.values[0] for page in pages] == pytest.approx(expected, rel=1e-4)
    assert [(page.name, page.unit) for page in pages] == [
        ("TRACK-AV-Q", "amu/MeV"),
        ("DOSE-AV-Q", "amu/MeV"),
        ("TQ-EFF", ""),
        ("DQ-EFF", ""),
    ]


@pytest.mark.parametrize(
    ("let", "factor"),
    [(0.2, 1), (9.99, 1), (10, 1), (50, 13.8), (100, 29.8), (400, 15), (900, 10)],
)
def test_quality_factors_are_those_of_icrp_60(let: float, factor: float) -> None:
    assert quality_factor(10 * let) == pytest.approx(factor, rel=1e-9)


def test_dose_equivalent_of_fast_protons_is_their_dose(tmp_path: Path) -> None:
    wanted = [{"keyword": k, "filter": "primary"} for k in ("DoseGy", "DoseEqv", "Dose", "DDD")]
    gray, sievert, dose, kernel = score(wanted, tmp_path, energy=150)
    assert (sievert.name, sievert.unit) == ("DOSE-EQV", "Sv/prim")
    assert sievert.values[0] == pytest.approx(gray.values[0], rel=1e-9)
    np.testing.assert_allclose(errors_of(sievert), errors_of(gray), rtol=1e-6)
    assert (kernel.name, kernel.unit) == ("DDD", "MeV/g/prim")
    assert kernel.values[0] == dose.values[0]


def test_dose_equivalent_follows_let(tmp_path: Path) -> None:
    """Dose by LET, weighted with the quality factor, adds up to the dose equivalent."""
    carbon: dict[str, Any] = {
        "particle": {"id": 25, "a": 12, "z": 6},
        "energy": 60,
        "energyUnit": "MeV/nucl",
    }
    wanted: list[dict[str, Any]] = [
        {"keyword": "DoseGy", "filter": "carbon"},
        {"keyword": "DoseEqv", "filter": "carbon"},
        {
            "keyword": "DoseGy",
            "filter": "carbon",
            "modifiers": [spectrum("DEDX", 10, 1e5, 2000, log=True)],
        },
    ]
    slices = make.mesh((10, 10, 0.9), (1, 1, 3)) | {"position": [0, 0, 0.45]}
    gray, sievert, by_let = score(wanted, tmp_path, primaries=40, detector=slices, **carbon)
    axis = by_let.axes[1]
    table = by_let.values.reshape(by_let.shape, order="F") * np.diff(axis.edges)
    factors = np.array([quality_factor(let) for let in axis.centres])
    np.testing.assert_allclose(sievert.values, table @ factors, rtol=5e-3)
    np.testing.assert_allclose(table.sum(axis=1), gray.values, rtol=1e-6)
    assert np.all(sievert.values > 10 * gray.values)


def thin_slab(material: str, directory: Path) -> list[float]:
    """Return dose, dose equivalent, LET and energy of carbon of 70 MeV per nucleon in 0.1 mm."""
    definition = make.project(
        {"a": make.box((2, 2, 0.01))},
        [make.zone(material, "a")],
        world=make.box((9, 9, 9)),
        detectors=[make.mesh((2, 2, 0.01), (1, 1, 1))],
        quantities=[
            {"keyword": keyword, "filter": "c"}
            for keyword in ("DoseGy", "DoseEqv", "tLET", "AvgEnergy")
        ],
        filters=[
            {
                "uuid": "c",
                "name": "c",
                "rules": [{"keyword": "Z", "operator": "==", "value": 6}],
            }
        ],
        particle={"id": 25, "a": 12, "z": 6},
        energy=840,
        position=[0, 0, -1],
    )
    return [float(page.values[0]) for page in transport(definition, directory, 20, seed=1)]


def test_quality_goes_by_let_in_water_wherever_the_dose_is(tmp_path: Path) -> None:
    """In lead, which contains no water, LET is several times that in water."""
    gray, sievert, let, energy = thin_slab("water", tmp_path / "water")
    assert sievert / gray == pytest.approx(quality_factor(let), rel=1e-3)
    in_lead = thin_slab("lead", tmp_path / "lead")
    assert in_lead[2] > 4 * let
    # slightly slower there; stopping powers vary as E^-0.77
    in_water = let * (energy / in_lead[3]) ** 0.77
    assert in_lead[1] / in_lead[0] == pytest.approx(quality_factor(in_water), rel=5e-3)
