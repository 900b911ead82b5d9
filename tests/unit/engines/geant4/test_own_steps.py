"""Subdivided steps: scores along one long step are those of short ones."""

from __future__ import annotations

import math

import pytest

from kerma_engines.geant4.scorers.steps import energy_at_end, is_short, pieces


def stopping_power(energy: float) -> float:
    """Return a stopping power like that of protons in water, MeV/cm."""
    return 260.0 * math.pow(max(energy, 0.05), -0.77)


def test_a_proton_that_stops_in_one_step() -> None:
    """Integrals along the track against those of the stopping power over energy."""
    start = 2.4
    parts = pieces(start, 0.0, 1, stopping_power)
    grid = [start * (k + 0.5) / 20000 for k in range(20000)]
    track = sum(start / 20000 / stopping_power(energy) for energy in grid)
    squares = sum(start / 20000 * stopping_power(energy) for energy in grid)
    assert sum(part.length for part in parts) == pytest.approx(1)
    assert sum(part.loss for part in parts) == pytest.approx(1)
    by_length = sum(part.length * stopping_power(part.energy) for part in parts)
    assert by_length * track == pytest.approx(start, rel=0.003)
    by_dose = sum(part.length * stopping_power(part.energy) ** 2 for part in parts)
    assert by_dose * track == pytest.approx(squares, rel=0.01)
    # what the mean energy alone would give
    assert stopping_power(start / 2) ** 2 * track < 0.8 * squares


def test_energies_fall_from_start_to_end() -> None:
    parts = pieces(40.0, 20.0, 4, stopping_power)
    energies = [part.energy for part in parts]
    assert energies == sorted(energies, reverse=True)
    assert 36 <= energies[0] < 40
    assert 20 < energies[-1] < 25
    assert parts[0].length > parts[-1].length


def test_small_losses_need_no_pieces() -> None:
    assert is_short(100.0, 81.0)
    assert not is_short(100.0, 79.0)
    assert not is_short(0.5, 0.0)


def test_no_stopping_power_is_no_division_by_zero() -> None:
    assert sum(part.length for part in pieces(5.0, 0.0, 1, lambda _: 0.0)) == pytest.approx(1)


def test_a_reaction_at_the_end_is_no_loss_along_the_way() -> None:
    """A proton of 100 MeV loses 0.4 MeV, then vanishes in a reaction; photons lose nothing."""
    assert energy_at_end(1, 100.0, 0.4) == pytest.approx(99.6)
    assert energy_at_end(1, 2.0, 2.0 + 1e-9) == 0
    assert energy_at_end(0, 1.0, 0.7) == 1.0
