"""Count the bins that users' input files score, before any task runs.

Every task stores and merges all its bins, so submission bounds them. A count must be right or too
large: a scorer whose bins can't be counted is refused with its line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.fields import MAX_BINS

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class BinCount:
    """The bins of all scorers so far; scorers that are refused become problems.

    ``total`` counts at most ``MAX_BINS + 1`` bins of a scorer.
    """

    problems: list[Problem] = field(default_factory=list)
    total: int = 0

    def add(self, place: str, scorer: str, factors: Iterable[int]) -> None:
        """Add a scorer, given the bins of each of its axes. One with too many bins is refused."""
        bins = bounded_product(factors)
        if bins > MAX_BINS:
            reason = f"{scorer[:64]} has more than {MAX_BINS} bins"
            self.problems.append(Problem(place, reason))
        self.total += bins

    def refuse(self, place: str, reason: str) -> int:
        """Refuse a scorer at its line; return 1, a factor to go on with."""
        self.problems.append(Problem(place, reason))
        return 1

    def closed(self) -> int:
        """Return the total. Raises InvalidInput if a scorer was refused."""
        if self.problems:
            raise InvalidInput(self.problems)
        return self.total


def bounded_product(factors: Iterable[int]) -> int:
    """Return the product of numbers >= 1, or ``MAX_BINS + 1`` if it is larger.

    Without the bound, a file with many factors would make a number of millions of digits.
    """
    product = 1
    for factor in factors:
        product *= factor
        if product > MAX_BINS:
            return MAX_BINS + 1
    return product


def bounded_count(value: float) -> int:
    """Return a finite number, without its sign and rounded up, as a number of 1 to MAX_BINS + 1."""
    return max(1, math.ceil(min(abs(value), MAX_BINS + 1)))
