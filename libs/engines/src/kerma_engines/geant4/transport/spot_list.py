"""Lists of spots with Geant4's limits; quick to import, for transport processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.project.spots import parse

if TYPE_CHECKING:
    from kerma_engines.project.spots import SpotList

MOST_ENERGY = 1e8
"""MeV per nucleon: the hadronic models of Geant4's reference physics lists end at 100 TeV."""
TAILS = 5.0
"""Standard deviations of a spot's energy that must stay above zero."""


def read(text: str, energy_sigma: float) -> SpotList:
    """Return spots, or faults; ``energy_sigma`` (MeV per nucleon) is the default spread."""
    return parse(text, most_energy=MOST_ENERGY, energy_sigma=energy_sigma, tails=TAILS)
