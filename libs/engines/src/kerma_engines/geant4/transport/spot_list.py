"""Lists of spots with Geant4's limits; quick to import, for transport processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.project.energies import EnergyRange
from kerma_engines.project.spots import parse

if TYPE_CHECKING:
    from kerma_engines.project.spots import SpotList

LEAST_ENERGY = 1e-4
"""MeV per nucleon: Geant4's tables of stopping powers begin at 100 eV."""
MOST_ENERGY = 1e8
"""MeV per nucleon: the hadronic models of Geant4's reference physics lists end at 100 TeV."""
TAILS = 5.0
"""Standard deviations of a spot's energy that must stay above zero."""
_ANY_PARTICLE = EnergyRange("Geant4", 0.0, MOST_ENERGY)


def read(text: str, energy_sigma: float, energies: EnergyRange = _ANY_PARTICLE) -> SpotList:
    """Return spots, or faults; ``energy_sigma`` (MeV per nucleon) is the default spread."""
    return parse(text, energies=energies, energy_sigma=energy_sigma, tails=TAILS)
