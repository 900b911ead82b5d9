"""Make pages from one result file, or from two whose quotient is the quantity.

TOPAS does not report how two scorers covary. A task is therefore one sample: with its sums X and Y
the page holds X, X*X and (Y, Y*Y, X*Y), from which merging computes sum(X) / sum(Y), exact for any
split of primaries, and a standard error from the scatter of tasks about it. That is the delta
method over batches (see ``kerma_engines.results.tallies.averages``). It assumes that Y is
proportional to the primaries of a task, so tasks of unequal sizes need no weights. A single task
has no error: NaN.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import MergeClass, Weights
from kerma_engines.results.tallies import averages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from kerma_engines.results.estimators import Estimator, Page

    Entry = Mapping[str, str]
    """File names of one quantity: ``file``, and ``over`` (its denominator) or ``weighted_by``."""


def entry(stem: str, partner: str, *, divided: bool) -> dict[str, str]:
    """Return the files of a scorer and of the second one, if any."""
    second = {"over" if divided else "weighted_by": f"{partner}.csv"} if partner else {}
    return {"file": f"{stem}.csv", **second}


def files_of(entries: Iterable[Entry]) -> list[str]:
    """Return all files of some quantities."""
    return [file for known in entries for file in known.values()]


def joined(
    directory: Path, entries: Iterable[Entry], read_file: Callable[[Path], Estimator]
) -> Estimator:
    """Return one estimator with the page of every quantity. Raises ReadError."""
    parts = [_part(directory, known, read_file) for known in entries]
    return replace(parts[0], pages=tuple(page for part in parts for page in part.pages))


def _part(directory: Path, known: Entry, read_file: Callable[[Path], Estimator]) -> Estimator:
    first = read_file(directory / known["file"])
    file = known.get("over") or known.get("weighted_by")
    if file is None:
        return first
    pairs = zip(first.pages, read_file(directory / file).pages, strict=True)
    combine = _quotient if "over" in known else _weighted
    return replace(first, pages=tuple(combine(file, page, below) for page, below in pairs))


def _quotient(file: str, page: Page, below: Page) -> Page:
    """Return the page divided by another, bin by bin."""
    unit = page.unit.removesuffix(below.unit) if below.unit else page.unit
    return _average(file, replace(page, unit=unit.strip()), page, below)


def _weighted(file: str, page: Page, weight: Page) -> Page:
    """Return the page, to be merged by the weights of its bins."""
    total = replace(page, values=page.values * weight.values)
    return _average(file, page, total, weight)


def _average(file: str, page: Page, above: Page, below: Page) -> Page:
    if above.values.shape != below.values.shape:
        raise ReadError(file, "bins", f"{below.shape} instead of {above.shape}")
    x, y = above.values, below.values
    with np.errstate(all="ignore"):
        xx, yy, xy = x * x, y * y, x * y
    values, errors = averages(x, xx, y, yy, xy)
    weights = Weights(y, yy, xy)
    return replace(
        page,
        merge=MergeClass.MEAN,
        values=values,
        errors=errors,
        sums=x,
        squares=xx,
        weights=weights,
    )
