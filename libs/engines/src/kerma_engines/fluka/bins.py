"""Count the bins of FLUKA's detectors, with the defaults of its manual.

The manual describes the cards USRBIN, USRBDX, USRTRACK, USRCOLL and RESNUCLEi. Detectors that may
see neutrons also get the groups in which slow neutrons are transported, at most 260. A binning by
region whose regions have names has at most one bin per line of the input, since each region takes
a line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kerma_engines.adapter.bins import BinCount, bounded_count
from kerma_engines.adapter.files import lines_of
from kerma_engines.fluka.input import cards, input_name, number
from kerma_engines.fluka.read.scores import never_neutron, particle_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.fluka.input import Card

_NEUTRON_GROUPS = 260
_REGIONS, _USER_DEFINED = 2, 8
_CYLINDERS = {1, 7}
_CARTESIAN_BINS, _CYLINDER_BINS = (30, 30, 10), (50, 1, 10)
_ENERGIES, _ANGLES = 10, 3
_CHARGES, _EXCESSES = 120, 100
"""At least as many as FLUKA takes for any material."""


def scored_bins(inputs: InputSet) -> int:
    """Return the bins of all detectors. Raises InvalidInput where they can't be counted."""
    counter = BinCount()
    count(cards(inputs.files, input_name(inputs.files)), inputs.files, counter)
    return counter.closed()


def count(found: Iterable[Card], files: Mapping[str, str], counter: BinCount) -> None:
    """Count the bins of the detectors among the cards of an input."""
    lines = sum(len(lines_of(text)) for text in files.values())
    for first, second in _detectors(found):
        detector = _Detector(first, second, lines, counter)
        counter.add(first.place, f"{first.name} {first.sdum}".strip(), detector.factors())


def _detectors(found: Iterable[Card]) -> Iterator[tuple[Card, Card | None]]:
    """Yield the first card of each detector, and the second one if there is any."""
    first: Card | None = None
    for card in found:
        if first is not None:
            second = card if card.continues and card.name == first.name else None
            yield first, second
            first = None
        if card.name in _FACTORS and not card.continues:
            first = card
    if first is not None:
        yield first, None


class _Detector:
    """The cards of a detector. ``lines`` is the number of lines of all files."""

    def __init__(self, first: Card, second: Card | None, lines: int, counter: BinCount) -> None:
        self.first, self.second = first, second
        self._lines = lines
        self._counter = counter

    def factors(self) -> list[int]:
        """Return numbers whose product is the number of bins."""
        return _FACTORS[self.first.name](self)

    def number(self, what: int, default: int, *, second: bool = False) -> int:
        """Return a number of bins on the first or second card."""
        card = self.second if second else self.first
        if card is None:
            return default
        value = _value(card, what)
        if value is None:
            text = card.whats[what - 1]
            reason = f"WHAT({what}) of {card.name} is no number of bins: {text[:32]!r}; write it"
            return self._counter.refuse(card.place, reason)
        return bounded_count(value) if value else default

    def mesh(self) -> list[int]:
        """Return the bins of a USRBIN along each axis."""
        kind = _value(self.first, 1)
        if kind is None:
            reason = f"WHAT(1) of USRBIN is no type of binning: {self.first.whats[0][:32]!r}"
            return [self._counter.refuse(self.first.place, reason)]
        structure = int(abs(kind)) % 10
        if structure == _REGIONS:
            return [self._regions(at) for at in range(3)]
        if structure == _USER_DEFINED:
            return [self._regions(0), self._regions(1), self.number(6, 10, second=True)]
        defaults = _CYLINDER_BINS if structure in _CYLINDERS else _CARTESIAN_BINS
        return [self.number(4 + at, defaults[at], second=True) for at in range(3)]

    def _regions(self, at: int) -> int:
        """Return the bins of a set of regions: WHAT(4 + at) is the last, the second card goes on."""
        last, first, step = _value(self.first, 4 + at), 0.0, 1.0
        if self.second is not None:
            found = _value(self.second, 1 + at)
            step = _value(self.second, 4 + at) or 1.0
            if found is None:
                return self._lines
            first = found
        if last is None:
            return self._lines
        return bounded_count(math.floor(abs(last - first) / max(abs(step), 1.0)) + 1.0)

    def boundary(self) -> list[int]:
        """Return the bins of a USRBDX."""
        energies = self.number(3, _ENERGIES, second=True)
        return [self._with_groups(energies), self.number(6, _ANGLES, second=True)]

    def track(self) -> list[int]:
        """Return the bins of a USRTRACK or USRCOLL."""
        return [self._with_groups(self.number(6, _ENERGIES))]

    def nuclei(self) -> list[int]:
        """Return the bins of a RESNUCLEi."""
        return [self.number(3, _CHARGES), self.number(4, _EXCESSES)]

    def _with_groups(self, energies: int) -> int:
        particle = self.first.whats[1].upper()
        code = number(particle)
        if code is not None and abs(code) < 1e6:
            particle = particle_name(int(code))
        return energies if never_neutron(particle) else energies + _NEUTRON_GROUPS


def _value(card: Card, what: int) -> float | None:
    """Return WHAT(``what``), 0 where it is empty; None when it is a name or not finite."""
    text = card.whats[what - 1]
    value = number("" if text == "&" else text)
    return value if value is not None and math.isfinite(value) else None


_FACTORS: dict[str, Callable[[_Detector], list[int]]] = {
    "USRBIN": _Detector.mesh,
    "USRBDX": _Detector.boundary,
    "USRTRACK": _Detector.track,
    "USRCOLL": _Detector.track,
    "RESNUCLE": _Detector.nuclei,
}
