"""Scored results: an estimator holds pages, a page holds bins over axes.

Values and errors are one-dimensional float64 arrays in Fortran order (first axis fastest), as in
files of SHIELD-HIT12A and FLUKA and in the result pages that users see. Readers of engines that
write C order transpose. Axes store their edges; centres are derived.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


class Binning(StrEnum):
    """How an axis is divided."""

    LINEAR = "linear"
    LOG = "log"


class MergeClass(StrEnum):
    """How pages of the same name from several tasks are merged."""

    FIRST = "first"  # the same in every task (material, zone, density)
    SUM = "sum"  # counts: add
    PER_PRIMARY = "per_primary"  # normalised per primary: mean weighted by primaries
    MEAN = "mean"  # average per particle (LET, mean energy): mean weighted by primaries
    CONCAT = "concat"  # lists (phase space): append in task order


class ErrorKind(StrEnum):
    """The meaning of the numbers in ``errors``."""

    STANDARD_ERROR = "standard_error"  # of the mean, one sigma


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A binned axis. ``edges`` has shape (n + 1,), strictly increasing, in ``unit``."""

    name: str
    unit: str
    edges: FloatArray
    binning: Binning = Binning.LINEAR

    @property
    def n(self) -> int:
        """Number of bins."""
        return int(self.edges.size) - 1

    @property
    def centres(self) -> FloatArray:
        """Bin centres, shape (n,): arithmetic for linear, geometric for logarithmic binning."""
        low, high = self.edges[:-1], self.edges[1:]
        if self.binning is Binning.LOG:
            return np.sqrt(low * high)
        return 0.5 * (low + high)

    @classmethod
    def linear(cls, name: str, unit: str, start: float, stop: float, n: int) -> Axis:
        """``n`` bins of equal width between ``start`` and ``stop``."""
        return cls(name, unit, np.linspace(start, stop, n + 1))

    @classmethod
    def log(cls, name: str, unit: str, start: float, stop: float, n: int) -> Axis:
        """``n`` bins of equal ratio between ``start`` > 0 and ``stop``."""
        return cls(name, unit, np.geomspace(start, stop, n + 1), Binning.LOG)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The denominators of averages over particles; arrays as in ``Page``.

    Per bin: the sum over primaries of the weight (such as track length) of one primary's particles,
    of its square, and of its product with the numerator.
    """

    sums: FloatArray
    squares: FloatArray
    cross: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One scored quantity.

    ``axes`` holds only the axes with more than one bin: geometric ones first (x, y, z or r, phi,
    z), then differential ones. ``values`` has shape (prod of axis sizes,), Fortran order; scalars
    have shape (1,) and no axes; CONCAT pages have shape (records * columns,) and no axes.
    ``errors`` has the same shape, or is None when unknown. ``freedom`` is their number of degrees
    of freedom, None when unknown: with few, an interval of a given confidence is wider (see
    ``student``).

    ``sums`` and ``squares`` are present when the engine scored them: per bin, the sum over
    primaries of one primary's contribution and of its square, in the page's unit before division by
    ``primaries``. With them a single task has standard errors, and merging is exact. For averages
    over particles they belong to the numerator, and ``weights`` to the denominator.
    """

    number: int
    name: str
    unit: str
    merge: MergeClass
    axes: tuple[Axis, ...]
    values: FloatArray
    errors: FloatArray | None = None
    sums: FloatArray | None = None
    squares: FloatArray | None = None
    weights: Weights | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    freedom: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of bins along each axis; () for scalars and lists."""
        return tuple(axis.n for axis in self.axes)


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """All pages of one scoring output, and the number of primaries behind them.

    ``name`` is the project's output name, which users see; ``file`` is the file that the engine
    wrote.
    """

    name: str
    file: str
    primaries: int
    pages: tuple[Page, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
