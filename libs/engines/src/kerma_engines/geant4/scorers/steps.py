"""The energies of a particle along one step of Geant4.

Quantities such as LET change a lot where a particle slows down and stops. Evaluated at the mean
energy of a long step, the dose-averaged LET at a Bragg peak would be a tenth too low.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: The share of the energy that is left after a piece. With a stopping power like E^-0.77, evaluating
#: a piece at its mean energy is accurate within 0.3 %.
_LEFT = 0.8
#: MeV per nucleon; slower particles make one piece.
_SLOWEST = 1e-3


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a step: its mean energy (MeV), its shares of the length and of the energy loss."""

    energy: float
    length: float
    loss: float


def energy_at_end(z: int, start: float, deposited: float) -> float:
    """Return the energy in MeV just before the interaction that ends a step from ``start``.

    A charged particle loses along the way what it deposits. The rest of its loss it gives up at
    once, in a collision or to a delta electron; neutral particles lose everything at once.
    """
    return max(start - deposited, 0.0) if z else start


def is_short(start: float, end: float) -> bool:
    """Return whether a step between these energies may be counted with its mean energy."""
    return end >= _LEFT * start


def pieces(
    start: float, end: float, nucleons: int, stopping_power: Callable[[float], float]
) -> list[Piece]:
    """Divide a step down to another energy (MeV) into pieces that lose at most a fifth of theirs.

    The length of each is its loss over the stopping power at its mean energy, a function of MeV in
    any unit, scaled so that together they are as long as the step.
    """
    slowest = _SLOWEST * nucleons
    edges = [start]
    while edges[-1] > end:
        following = _LEFT * edges[-1]
        edges.append(following if following > max(end, slowest) else end)
    middles = [0.5 * (a + b) for a, b in pairwise(edges)]
    losses = [a - b for a, b in pairwise(edges)]
    # Geant4 has no stopping power for some exotic particles
    lengths = [
        loss / (stopping_power(middle) or 1.0) for loss, middle in zip(losses, middles, strict=True)
    ]
    whole = sum(lengths)
    return [
        Piece(middle, length / whole, loss / (start - end))
        for middle, length, loss in zip(middles, lengths, losses, strict=True)
    ]
