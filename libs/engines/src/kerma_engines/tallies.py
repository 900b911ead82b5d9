"""Running totals of one page over tasks: one class per way of merging.

A tally of one task borrows the arrays of its page; ``owned`` makes a copy that may ``absorb``
others in place. Arrays are walked in blocks that stay in the processor's cache, so that absorbing
costs one pass over memory and no page-sized temporary.

Means use the update of Chan, Golub and LeVeque (1983), "Algorithms for computing the sample
variance". A task of w primaries is taken as a mean of w samples of variance s2: the weighted
squares between tasks, sum w (x - mean)^2, and those within a task that knows its standard error e,
w (w - 1) e^2, then all estimate s2, with one degree of freedom per task less one, and w - 1 more
per task with errors. The standard error of the mean is sqrt(squares / freedom / sum w): unbiased
for any split of primaries, and equal to what sums and sums of squares over primaries give.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from kerma_engines.estimators import MergeClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.estimators import FloatArray, Page

BLOCK = 8_192
"""Bins worked on at a time: a few arrays of this size fit the second-level cache."""

NONE = np.empty(0)
"""Stands for an array whose elements are all zero and need no memory yet."""


class Numbers(NamedTuple):
    """What a tally says about a page; arrays as in ``Page``."""

    values: FloatArray
    errors: FloatArray | None = None
    sums: FloatArray | None = None
    squares: FloatArray | None = None


@dataclass(slots=True)
class Tally(ABC):
    """``weight`` primaries so far; ``freedom`` degrees of freedom behind the squares."""

    weight: int
    freedom: int
    arrays: list[FloatArray]

    @classmethod
    @abstractmethod
    def of(cls, page: Page, weight: int) -> Self:
        """The tally of one task, sharing the arrays of ``page``."""

    @abstractmethod
    def absorb(self, other: Self) -> None:
        """Add ``other`` in place, as coming after this one; only on an ``owned`` tally."""

    @abstractmethod
    def numbers(self) -> Numbers:
        """The merged numbers; may share arrays with this tally."""

    def owned(self) -> Self:
        """A copy with arrays of its own."""
        return type(self)(self.weight, self.freedom, [array.copy() for array in self.arrays])


class First(Tally):
    """Keeps the first task's numbers."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        return cls(weight, 0, [page.values] if page.errors is None else [page.values, page.errors])

    def absorb(self, other: Self) -> None:
        self.weight += other.weight

    def numbers(self) -> Numbers:
        return Numbers(self.arrays[0], self.arrays[1] if len(self.arrays) > 1 else None)


class Concatenation(Tally):
    """Appends lists."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        return cls(weight, 0, [page.values])

    def absorb(self, other: Self) -> None:
        self.weight += other.weight
        self.arrays.extend(other.arrays)

    def numbers(self) -> Numbers:
        return Numbers(np.concatenate(self.arrays))


class Scored(Tally):
    """Adds sums and squares over primaries: exact, with a standard error from one task on."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        assert page.sums is not None
        assert page.squares is not None
        return cls(weight, 0, [page.sums, page.squares])

    def absorb(self, other: Self) -> None:
        self.weight += other.weight
        with np.errstate(all="ignore"):
            for mine, theirs in zip(self.arrays, other.arrays, strict=True):
                mine += theirs

    def numbers(self) -> Numbers:
        sums, squares = self.arrays
        with np.errstate(all="ignore"):
            values = sums / self.weight
            if self.weight < 2:
                return Numbers(values, None, sums, squares)
            errors = squares / self.weight
            errors -= values * values
            np.maximum(errors, 0.0, out=errors)  # rounding can leave a small negative variance
            errors /= self.weight - 1
            np.sqrt(errors, out=errors)
        return Numbers(values, errors, sums, squares)


class Mean(Tally):
    """Mean weighted by primaries. Arrays: mean, weighted squares of deviations."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        if page.errors is None or weight < 2:
            return cls(weight, 0, [page.values, NONE])
        squares = page.errors * page.errors
        squares *= float(weight) * (weight - 1)
        return cls(weight, weight - 1, [page.values, squares])

    def owned(self) -> Self:
        mean, squares = self.arrays
        copy = squares.copy() if squares.size else np.zeros_like(mean)
        return type(self)(self.weight, self.freedom, [mean.copy(), copy])

    def absorb(self, other: Self) -> None:
        share = other.weight / (self.weight + other.weight)
        with np.errstate(all="ignore"):
            for mean, squares, theirs, their_squares, (deviation, step) in _blocks(self, other):
                np.subtract(theirs, mean, out=deviation)
                odd = None
                if not math.isfinite(np.dot(deviation, deviation)):
                    odd = _not_finite(mean, theirs, deviation)
                np.multiply(deviation, share, out=step)
                mean += step
                step *= deviation
                step *= float(self.weight)
                squares += step
                if their_squares.size:
                    squares += their_squares
                if odd is not None:
                    mean[odd[0]] = odd[1]
                    squares[odd[0]] = np.nan
        self.weight += other.weight
        self.freedom += other.freedom + 1

    def numbers(self) -> Numbers:
        mean, squares = self.arrays
        if not self.freedom:
            return Numbers(mean)
        return Numbers(mean, _root(squares, float(self.freedom) * self.weight, mean.size))


class Total(Tally):
    """Sum; its error from the spread of the rate per primary. Arrays: sum, squares of rates."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        if page.errors is None or weight < 2:
            return cls(weight, 0, [page.values, NONE])
        squares = page.errors * page.errors
        squares *= (weight - 1) / weight
        return cls(weight, weight - 1, [page.values, squares])

    def owned(self) -> Self:
        total, squares = self.arrays
        copy = squares.copy() if squares.size else np.zeros_like(total)
        return type(self)(self.weight, self.freedom, [total.copy(), copy])

    def absorb(self, other: Self) -> None:
        factor = self.weight * (other.weight / (self.weight + other.weight))
        with np.errstate(all="ignore"):
            for total, squares, theirs, their_squares, (rate, deviation) in _blocks(self, other):
                np.divide(total, self.weight, out=rate)
                np.divide(theirs, other.weight, out=deviation)
                deviation -= rate
                deviation *= deviation
                deviation *= factor
                squares += deviation
                if their_squares.size:
                    squares += their_squares
                total += theirs
        self.weight += other.weight
        self.freedom += other.freedom + 1

    def numbers(self) -> Numbers:
        total, squares = self.arrays
        if not self.freedom:
            return Numbers(total)
        return Numbers(total, _root(squares, self.freedom / self.weight, total.size))


KINDS: dict[str, type[Tally]] = {
    kind.__name__: kind for kind in (First, Concatenation, Scored, Mean, Total)
}
"""Names of the kinds, as written into stored states."""

_BY_CLASS: dict[MergeClass, type[Tally]] = {
    MergeClass.FIRST: First,
    MergeClass.CONCAT: Concatenation,
    MergeClass.SUM: Total,
    MergeClass.MEAN: Mean,
    MergeClass.PER_PRIMARY: Mean,
}


def tally_of(page: Page, weight: int) -> Tally:
    """The tally that merges ``page`` by its class; sums over primaries are used where known."""
    scored = page.sums is not None and page.squares is not None
    if scored and page.merge is MergeClass.PER_PRIMARY:
        return Scored.of(page, weight)
    return _BY_CLASS[page.merge].of(page, weight)


def _blocks(
    mine: Tally, theirs: Tally
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]]:
    """Views of both tallies' pairs of arrays, block by block, and two rows of scratch."""
    first, squares = mine.arrays
    value, value_squares = theirs.arrays
    scratch = np.empty((2, min(BLOCK, first.size)))
    for low in range(0, first.size, BLOCK):
        part = slice(low, low + BLOCK)
        block = first[part]
        yield block, squares[part], value[part], value_squares[part], scratch[:, : block.size]


def _not_finite(
    mean: FloatArray, value: FloatArray, deviation: FloatArray
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], FloatArray]:
    """Where NaN or infinity came in and what the mean is there; zeroes ``deviation`` there.

    Infinity stays infinity, opposite ones and NaN become NaN, as in a plain sum.
    """
    odd = ~(np.isfinite(mean) & np.isfinite(value))
    deviation[odd] = 0.0
    return odd, mean[odd] + value[odd]


def _root(squares: FloatArray, divisor: float, size: int) -> FloatArray:
    """sqrt(squares / divisor), a new array of ``size`` elements."""
    if not squares.size:
        return np.zeros(size)
    errors = squares / divisor
    with np.errstate(all="ignore"):
        np.sqrt(errors, out=errors)
    return errors
