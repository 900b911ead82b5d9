"""Convert FLUKA's detectors to the pages of a project's quantities.

Every quantity has one detector or two, found by name in the file of a unit; the second one's values
are subtracted from the first one's. Values are converted to those of the page by a factor, which
may grow along the first axis (volumes of rings), or are summed over regions.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import Axis, Binning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kerma_engines.results.estimators import Estimator, FloatArray, Page

_ROUNDING = 1e-6  # of float32 values that are subtracted from each other
_NEUTRONS = "-NEUTRON-GROUPS"


@dataclass(frozen=True, slots=True)
class PageOf:
    """How a page is made; JSON values only.

    ``energy`` holds the requested limits of a spectrum's axis, MeV.
    """

    page: str
    page_unit: str
    unit: int = 0
    name: str = ""
    less: str = ""
    factor: float = 1.0
    step: float = 0.0
    total: bool = False
    energy: Sequence[float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form, without defaults."""
        blank = PageOf("", "")
        given = {key: value for key, value in asdict(self).items() if value != getattr(blank, key)}
        return given | ({"energy": list(self.energy)} if self.energy else {})

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> PageOf:
        """Return the object of a JSON form."""
        return cls(**form)


def made(known: Sequence[Mapping[str, Any]], read_unit: Callable[[int], Estimator]) -> Estimator:
    """Return the estimator of an output: a page per quantity, then groups of low-energy neutrons.

    Raises ReadError when a detector is missing or has other bins than the one to subtract from.
    """
    wanted = [PageOf.of(form) for form in known]
    units = {page.unit: read_unit(page.unit) for page in wanted}
    asked: list[Page] = []
    groups: list[Page] = []
    for page in wanted:
        first, *more = _of_detector(units[page.unit], page)
        asked.append(_of_quantity(first, page))
        groups += [_of_groups(group, page) for group in more]
    pages = [*asked, *groups]
    numbered = tuple(replace(page, number=number) for number, page in enumerate(pages))
    return replace(units[wanted[0].unit], pages=numbered)


def _of_detector(estimator: Estimator, page: PageOf) -> Iterator[Page]:
    """Return the pages of a detector, minus those of the second one."""
    found = _named(estimator, page.name)
    if not page.less:
        yield from found
        return
    others = _named(estimator, page.less)
    # a detector that counts no neutrons has no neutron groups to subtract
    for one, other in itertools.zip_longest(found, others[: len(found)]):
        if other is None:
            yield one
            continue
        if other.shape != one.shape:
            raise ReadError(estimator.file, "bins", f"{page.less!r} has others than {page.name!r}")
        yield replace(one, values=_difference(one.values, other.values), errors=None)


def _named(estimator: Estimator, name: str) -> list[Page]:
    found = [page for page in estimator.pages if page.metadata.get("title") == name]
    if not found:
        raise ReadError(estimator.file, "detectors", f"{name!r} is missing")
    return found


def _difference(values: FloatArray, less: FloatArray) -> FloatArray:
    """Return the difference, zero where it is no more than rounding of the file's numbers."""
    with np.errstate(invalid="ignore"):  # damaged files may hold infinities
        left = values - less
        return np.where(np.abs(left) <= _ROUNDING * np.abs(values), 0.0, left)


def _of_quantity(found: Page, page: PageOf) -> Page:
    values, errors, axes = found.values, found.errors, found.axes
    if page.energy is not None:
        axes = tuple(_energy_axis(axis, page.energy) for axis in axes)
    factor: FloatArray | float = page.factor
    if page.step and axes:
        rings = page.factor + page.step * np.arange(axes[0].n)
        factor = np.tile(rings, values.size // axes[0].n)
    values = values * factor
    errors = None if errors is None else errors * factor
    if page.total:
        with np.errstate(invalid="ignore"):
            values, errors, axes = values.sum(keepdims=True), None, ()
    return replace(
        found, name=page.page, unit=page.page_unit, axes=axes, values=values, errors=errors
    )


def _energy_axis(axis: Axis, limits: Sequence[float]) -> Axis:
    make = Axis.log if axis.binning is Binning.LOG else Axis.linear
    return make("Kinetic energy", "MeV", limits[0], limits[1], axis.n)


def _of_groups(found: Page, page: PageOf) -> Page:
    """Return neutron groups, integrated over the group: fluence per group, edges in MeV."""
    axes = tuple(replace(axis, unit="MeV", edges=axis.edges * 1000.0) for axis in found.axes)
    unit = page.page_unit.replace("/MeV", "")
    return replace(found, name=page.page + _NEUTRONS, unit=unit, axes=axes)
