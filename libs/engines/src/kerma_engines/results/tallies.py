"""Running totals of one page over tasks: one class per way of merging.

A tally borrows the arrays of its page and never changes. ``opened`` starts a running total that
absorbs tallies in place, block by block, without temporaries of a page's size.

A task of w primaries counts as a mean of w samples of variance s2. Then the weighted squares
between tasks, sum w (x - mean)^2, and those within a task with a known standard error e, w (w - 1)
e^2, all estimate s2, with one degree of freedom per task less one, and w - 1 more per task with
errors. The standard error of the mean is sqrt(squares / freedom / sum w): unbiased for any split of
primaries, and equal to the error from sums and sums of squares over primaries.

A running mean sums deviations from the first task's values and their squares, and corrects the
squares at the end (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance",
section 3). As that first value is one of the data, the correction loses no more than a factor of
the number of tasks in precision, however far off the first value is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from kerma_engines.results.estimators import MergeClass, Weights
from kerma_engines.results.parallel import each_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerma_engines.results.estimators import FloatArray, Page

NONE = np.empty(0)
"""Stands for an array of zeros that needs no memory yet."""


class Numbers(NamedTuple):
    """The numbers of a page's tally; arrays as in ``Page``."""

    values: FloatArray
    errors: FloatArray | None = None
    sums: FloatArray | None = None
    squares: FloatArray | None = None
    weights: Weights | None = None
    freedom: int | None = None


class Running(Protocol):
    """A growing total."""

    def absorb(self, others: Sequence[Tally]) -> None:
        """Add tallies of the same kind, in order, after all earlier ones."""

    def closed(self) -> Tally:
        """Return the total as one tally. The running total must not be used afterwards."""


@dataclass(slots=True)
class Tally(ABC):
    """``weight`` primaries so far; ``freedom`` degrees of freedom behind the squares."""

    weight: int
    freedom: int
    arrays: list[FloatArray]

    @classmethod
    @abstractmethod
    def of(cls, page: Page, weight: int) -> Self:
        """Return the tally of one task, sharing the arrays of ``page``."""

    @abstractmethod
    def opened(self) -> Running:
        """Return a running total that begins with this tally; copies whatever it will change."""

    @abstractmethod
    def numbers(self) -> Numbers:
        """Return the merged numbers; they may share arrays with this tally."""


@dataclass(slots=True)
class SelfRunning(Tally):
    """A tally whose copy is its own running total."""

    def opened(self) -> Self:
        return type(self)(self.weight, self.freedom, [array.copy() for array in self.arrays])

    def absorb(self, others: Sequence[Tally]) -> None:
        for other in others:
            self.add(other)

    @abstractmethod
    def add(self, other: Tally) -> None:
        """Add ``other`` in place."""

    def closed(self) -> Tally:
        return self


class First(SelfRunning):
    """Keeps the first task's numbers."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        return cls(weight, 0, [page.values] if page.errors is None else [page.values, page.errors])

    def add(self, other: Tally) -> None:
        self.weight += other.weight

    def numbers(self) -> Numbers:
        return Numbers(self.arrays[0], self.arrays[1] if len(self.arrays) > 1 else None)


class Concatenation(SelfRunning):
    """Appends lists."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        return cls(weight, 0, [page.values])

    def add(self, other: Tally) -> None:
        self.weight += other.weight
        self.arrays.extend(other.arrays)

    def numbers(self) -> Numbers:
        return Numbers(np.concatenate(self.arrays))


class Sums(SelfRunning):
    """Sums over primaries, which add."""

    def add(self, other: Tally) -> None:
        self.weight += other.weight
        with np.errstate(all="ignore"):
            for mine, theirs in zip(self.arrays, other.arrays, strict=True):
                mine += theirs


class Scored(Sums):
    """Sums and squares over primaries: exact, with a standard error even for one task."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        assert page.sums is not None
        assert page.squares is not None
        return cls(weight, 0, [page.sums, page.squares])

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
        return Numbers(values, errors, sums, squares, freedom=self.weight - 1)


class Ratio(Sums):
    """Averages over particles as sums over primaries: exact; bins without particles weigh nothing.

    Arrays: numerator, its square, weight, its square, product of both.
    """

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        assert page.sums is not None
        assert page.squares is not None
        assert page.weights is not None
        below = page.weights
        return cls(weight, 0, [page.sums, page.squares, below.sums, below.squares, below.cross])

    def numbers(self) -> Numbers:
        x, xx, y, yy, xy = self.arrays
        values, errors = averages(*self.arrays)
        return Numbers(values, errors, x, xx, Weights(y, yy, xy), self.weight - 1)


class Mean(Tally):
    """Mean weighted by primaries. Arrays: mean, weighted squares of deviations."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        return cls(weight, 0, [page.values, NONE])

    def opened(self) -> RunningMean:
        return RunningMean(self)

    def add_squares(self, target: FloatArray, part: slice, factor: float, work: FloatArray) -> None:
        """Add the squares of the bins ``part``, times ``factor``, to ``target``."""
        if self.arrays[1].size:
            np.multiply(self.arrays[1][part], factor, out=work)
            target += work

    def numbers(self) -> Numbers:
        mean, squares = self.arrays
        if not self.freedom:
            return Numbers(mean)
        errors = _root(squares, float(self.freedom) * self.weight, mean.size)
        return Numbers(mean, errors, freedom=self.freedom)


class MeanWithError(Mean):
    """One task's mean with a known error. Arrays: mean, standard error."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        assert page.errors is not None
        return cls(weight, weight - 1, [page.values, page.errors])

    def add_squares(self, target: FloatArray, part: slice, factor: float, work: FloatArray) -> None:
        error = self.arrays[1][part]
        np.multiply(error, error, out=work)
        work *= factor * self.weight * (self.weight - 1)
        target += work

    def numbers(self) -> Numbers:
        return Numbers(self.arrays[0], self.arrays[1], freedom=self.freedom)


class RunningMean:
    """Sums of deviations from the first tally's mean, and of their squares.

    They are in units of the first weight: most tasks have the same, and need no product.
    """

    def __init__(self, first: Mean) -> None:
        self.weight = self.unit = first.weight
        self.freedom = first.freedom
        self.shift = first.arrays[0]
        self.sums = np.zeros_like(self.shift)
        self.squares = np.zeros_like(self.shift)
        if first.arrays[1].size:
            each_block(self.shift.size, partial(self._add_squares, first))
        odd = ~np.isfinite(self.shift)
        if odd.any():  # infinity stays infinity in a sum, but not in a difference
            self.sums[odd] = self.shift[odd]
            self.shift = np.where(odd, 0.0, self.shift)
            self.squares[odd] = np.nan

    def absorb(self, others: Sequence[Tally]) -> None:
        """Add means; several at once cost less, as the sums are traversed once."""
        means = [other for other in others if isinstance(other, Mean)]
        each_block(self.shift.size, partial(self._add_block, means))
        self.weight += sum(mean.weight for mean in means)
        self.freedom += sum(mean.freedom + 1 for mean in means)

    def closed(self) -> Mean:
        """Return the mean and the squares about it, in this object's arrays."""
        total = self.weight / self.unit

        def close(part: slice, correction: FloatArray, _: FloatArray) -> None:
            sums, squares = self.sums[part], self.squares[part]
            np.divide(sums, total, out=correction)
            sums *= correction
            squares -= sums
            squares *= self.unit
            np.maximum(squares, 0.0, out=squares)  # rounding can leave a small negative value
            np.add(self.shift[part], correction, out=sums)

        each_block(self.shift.size, close)
        return Mean(self.weight, self.freedom, [self.sums, self.squares])

    def _add_block(
        self, means: list[Mean], part: slice, deviation: FloatArray, work: FloatArray
    ) -> None:
        shift, sums, squares = self.shift[part], self.sums[part], self.squares[part]
        for mean in means:
            np.subtract(mean.arrays[0][part], shift, out=deviation)
            ratio = mean.weight / self.unit
            if ratio == 1.0:
                sums += deviation
                deviation *= deviation
            else:
                np.multiply(deviation, ratio, out=work)
                sums += work
                deviation *= work
            squares += deviation
            mean.add_squares(squares, part, 1.0 / self.unit, work)

    def _add_squares(self, first: Mean, part: slice, work: FloatArray, _: FloatArray) -> None:
        first.add_squares(self.squares[part], part, 1.0 / self.unit, work)


class Total(SelfRunning):
    """A sum; its error from the spread of the rate per primary. Arrays: sum, squares of rates."""

    @classmethod
    def of(cls, page: Page, weight: int) -> Self:
        if page.errors is None or weight < 2:
            return cls(weight, 0, [page.values, NONE])
        squares = page.errors * page.errors
        squares *= (weight - 1) / weight
        return cls(weight, weight - 1, [page.values, squares])

    def opened(self) -> Self:
        total, squares = self.arrays
        copy = squares.copy() if squares.size else np.zeros_like(total)
        return type(self)(self.weight, self.freedom, [total.copy(), copy])

    def add(self, other: Tally) -> None:
        factor = self.weight * (other.weight / (self.weight + other.weight))
        (total, squares), (value, value_squares) = self.arrays, other.arrays

        def add(part: slice, rate: FloatArray, deviation: FloatArray) -> None:
            np.divide(total[part], self.weight, out=rate)
            np.divide(value[part], other.weight, out=deviation)
            deviation -= rate
            deviation *= deviation
            deviation *= factor
            squares[part] += deviation
            if value_squares.size:
                squares[part] += value_squares[part]
            total[part] += value[part]

        each_block(total.size, add)
        self.weight += other.weight
        self.freedom += other.freedom + 1

    def numbers(self) -> Numbers:
        total, squares = self.arrays
        if not self.freedom:
            return Numbers(total)
        errors = _root(squares, self.freedom / self.weight, total.size)
        return Numbers(total, errors, freedom=self.freedom)


KINDS: dict[str, type[Tally]] = {
    kind.__name__: kind
    for kind in (First, Concatenation, Scored, Ratio, Mean, MeanWithError, Total)
}
"""Names of the kinds in stored states."""

_MEANS = {MergeClass.MEAN, MergeClass.PER_PRIMARY}
_BY_CLASS: dict[MergeClass, type[Tally]] = {
    MergeClass.FIRST: First,
    MergeClass.CONCAT: Concatenation,
    MergeClass.SUM: Total,
    MergeClass.MEAN: Mean,
    MergeClass.PER_PRIMARY: Mean,
}


def tally_of(page: Page, weight: int) -> Tally:
    """Return the tally that merges ``page`` by its class, with sums over primaries where known."""
    scored = page.sums is not None and page.squares is not None
    if scored and page.weights is not None:
        return Ratio.of(page, weight)
    if scored and page.merge is MergeClass.PER_PRIMARY:
        return Scored.of(page, weight)
    if page.merge in _MEANS and page.errors is not None and weight > 1:
        return MeanWithError.of(page, weight)
    return _BY_CLASS[page.merge].of(page, weight)


def averages(
    x: FloatArray, xx: FloatArray, y: FloatArray, yy: FloatArray, xy: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return averages sum(x) / sum(y) over primaries, and their standard errors, from sums.

    The error is that of linear propagation (delta method): with r the average, the root of sum((x -
    r y)^2) over sum(y). Deviations from an average of m values are too small by 1 - 1/m; m is the
    effective number of primaries behind a bin, sum(y)^2 / sum(y^2) (Kish 1965, "Survey Sampling").
    An average without contributions is 0, as in SHIELD-HIT12A's results. Its error is unknown
    (NaN), as is that of one primary's particles.
    """
    with np.errstate(all="ignore"):
        values = np.where(y > 0, x / y, 0.0)
        spread = np.maximum(xx - 2.0 * values * xy + values * values * yy, 0.0)
        single = yy / (y * y)
        errors = np.sqrt(spread / (1.0 - single)) / y
        errors[~(single < 1.0 - 1e-9)] = np.nan
    return values, errors


def _root(squares: FloatArray, divisor: float, size: int) -> FloatArray:
    """Return sqrt(squares / divisor), a new array of ``size`` elements."""
    if not squares.size:
        return np.zeros(size)
    errors = squares / divisor
    with np.errstate(all="ignore"):
        np.sqrt(errors, out=errors)
    return errors
