"""Estimators of a finished task: scored sums become pages with axes, units and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.adapter.outputs import named
from kerma_engines.adapter.port import Output
from kerma_engines.errors import ReadError
from kerma_engines.geant4.read.scored import START, read_scored
from kerma_engines.geant4.scorers import neutrals
from kerma_engines.geant4.scorers.native import QUANTITIES
from kerma_engines.geant4.scorers.quantities import AVERAGES, AXES, GY_PER_MEV_PER_G, MAPS, TOTALS
from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page, Weights
from kerma_engines.results.tallies import averages

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.geant4.read.scored import Scored
    from kerma_engines.geant4.scorers.meshes import Mesh, Scorer
    from kerma_engines.results.estimators import FloatArray


#: Numbers that maps show, by kind of map and name.
Numbering = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class _Quantity:
    name: str
    unit: str
    factor: float = 1.0


#: Pages by project keyword: name and unit as in SHIELD-HIT12A's results.
_PAGES = {
    "Dose": _Quantity("DOSE", "MeV/g/prim", 1.0 / GY_PER_MEV_PER_G),
    "DoseGy": _Quantity("DOSE-GY", "Gy/prim"),
    "DDD": _Quantity("DDD", "MeV/g/prim", 1.0 / GY_PER_MEV_PER_G),
    "Energy": _Quantity("ENERGY", "MeV/prim"),
    "Fluence": _Quantity("FLUENCE", "/cm^2/prim"),
}

_UNITS = {"percm2": "/cm^2", "permm2": "/mm^2", "perm2": "/m^2"}


def scorer_pages(mesh: Mesh) -> list[dict[str, Any]]:
    """Return all pages of a mesh of a user-supplied macro: scorer, name, unit, perhaps a note."""
    return [_scorer_page(scorer) for scorer in mesh.scorers]


def _scorer_page(scorer: Scorer) -> dict[str, Any]:
    # names and units of our own quantities follow from their kind
    name = scorer.kind if scorer.own else QUANTITIES[scorer.kind].page
    page = {"scorer": scorer.name, "page": name, "unit": per_primary(scorer.unit)}
    return page | ({"note": neutrals.NOTE} if scorer.neutral else {})


def per_primary(unit: str) -> str:
    """Return Geant4's name of a unit in the form of pages."""
    return f"{_UNITS.get(unit, unit)}/prim" if unit else "1/prim"


def estimators(
    directory: Path,
    inputs: InputSet,
    meshes: Mapping[str, Mesh],
    numbering: Numbering,
) -> tuple[Estimator, ...]:
    """Return estimators by the output map of the inputs."""
    pages: list[list[dict[str, Any]]] = inputs.options["pages"]
    files: dict[str, Scored] = {}
    result = []
    for output, page_options in zip(inputs.outputs, pages, strict=True):
        if output.file not in files:
            files[output.file] = read_scored(directory / output.file)
        scored = files[output.file]
        mesh = meshes.get(scored.mesh)
        if mesh is None or (mesh.shape != "volume" and mesh.dump_shape != scored.shape):
            raise ReadError(output.file, f"byte {START}", "belongs to another mesh")
        result.append(_estimator(output, scored, mesh, page_options, numbering))
    return tuple(result)


def estimator_of(scored: Scored, mesh: Mesh, file: str) -> Estimator:
    """Return the estimator of a mesh, with a page for each of its scored quantities."""
    known = [option for option in scorer_pages(mesh) if option["scorer"] in scored.sums]
    return _estimator(Output(mesh.name, mesh.name, file), scored, mesh, known, {})


def plain_page(
    scored: Scored,
    name: str,
    shape: tuple[int, ...],
    axes: tuple[Axis, ...],
    unit: str,
    number: int,
) -> Page:
    """Return a page of a scorer about which nothing else is known; an average if it has weights."""

    def part(columns: Mapping[str, FloatArray], column: str) -> FloatArray:
        return np.ascontiguousarray(columns[column].reshape(shape).flatten(order="F"))

    x, xx = part(scored.sums, name), part(scored.squares, name)
    metadata = {"scorer": name}
    weight, cross = f"{name}/weight", f"{name}/cross"
    if all(key in scored.sums and scored.sums[key].size == x.size for key in (weight, cross)):
        y, yy = part(scored.sums, weight), part(scored.squares, weight)
        xy = part(scored.sums, cross)
        below = Weights(y, yy, xy)
        mean = averages(x, xx, y, yy, xy)
        return Page(number, name, "", MergeClass.MEAN, axes, *mean, x, xx, below, metadata)
    errors = standard_errors(x, xx, scored.primaries)
    values, merge = x / scored.primaries, MergeClass.PER_PRIMARY
    return Page(number, name, unit, merge, axes, values, errors, x, xx, None, metadata)


def _estimator(
    output: Output,
    scored: Scored,
    mesh: Mesh,
    options: list[dict[str, Any]],
    numbering: Numbering,
) -> Estimator:
    pages = []
    for number, option in enumerate(options):
        scorers = {scorer.name: scorer for scorer in mesh.scorers}
        scorer = scorers.get(option["scorer"])
        if scorer is None or scorer.name not in scored.sums:
            raise ReadError(output.file, f"byte {START}", f"has no scorer {option['scorer']}")
        page = _PageMaker(scored, mesh, scorer, option, output.file, numbering)
        chosen = output.quantities[number] if number < len(output.quantities) else None
        made = page.make(number, chosen.filter_name if chosen else "")
        pages.append(named(made, chosen) if chosen else made)
    geometry = {"box": "MSH", "cylinder": "CYL", "volume": "ZONE"}[mesh.shape]
    metadata = {"geotyp": geometry, "geo_name": mesh.name, "mc_code_version": scored.code}
    if output.quantities:
        metadata["output_id"] = output.id
    return Estimator(output.name, output.file, scored.primaries, tuple(pages), metadata)


@dataclass(frozen=True, slots=True)
class _PageMaker:
    """Converts one scorer of one mesh to a page."""

    scored: Scored
    mesh: Mesh
    scorer: Scorer
    option: dict[str, Any]
    file: str
    numbering: Numbering

    def make(self, number: int, filter_name: str) -> Page:
        metadata = {"scorer": self.scorer.name}
        if filter_name:
            metadata["page_filter_name"] = filter_name
        if note := self.option.get("note"):
            metadata["note"] = note
        quantity = self._quantity()
        if self.scorer.own and self.scorer.kind in AVERAGES:
            return self._average(number, quantity, metadata)
        if self.scorer.own and self.scorer.kind in MAPS:
            return self._map(number, quantity, metadata)
        factor = quantity.factor * float(self.option.get("rescale", 1.0)) * self._densities()
        sums = self._fortran(self.scored.sums, self.scorer.name) * factor
        squares = self._fortran(self.scored.squares, self.scorer.name) * factor**2
        return Page(
            number=number,
            name=quantity.name,
            unit=quantity.unit,
            merge=MergeClass.PER_PRIMARY,
            axes=self._axes(),
            values=sums / self.scored.primaries,
            errors=standard_errors(sums, squares, self.scored.primaries),
            sums=sums,
            squares=squares,
            metadata=metadata,
        )

    def _map(self, number: int, quantity: _Quantity, metadata: dict[str, str]) -> Page:
        """Return a map, the same in every task; zone or material numbers are in the metadata."""
        if numbers := self.numbering.get(self.scorer.kind):
            metadata["numbers"] = " ".join(f"{n}={name}" for name, n in numbers.items())
        values = self._fortran(self.scored.sums, self.scorer.name) / self.scored.primaries
        return Page(
            number=number,
            name=quantity.name,
            unit=quantity.unit,
            merge=MergeClass.FIRST,
            axes=self._axes(),
            values=values * float(self.option.get("rescale", 1.0)),
            metadata=metadata,
        )

    def _average(self, number: int, quantity: _Quantity, metadata: dict[str, str]) -> Page:
        """Return numerator over denominator."""
        name = self.scorer.name
        rescale = float(self.option.get("rescale", 1.0))
        x, xx = (self._fortran(part, name) for part in (self.scored.sums, self.scored.squares))
        weight = f"{name}/weight"
        y, yy = (self._fortran(part, weight) for part in (self.scored.sums, self.scored.squares))
        xy = self._fortran(self.scored.sums, f"{name}/cross")
        x, xx, xy = x * rescale, xx * rescale**2, xy * rescale
        values, errors = averages(x, xx, y, yy, xy)
        return Page(
            number=number,
            name=quantity.name,
            unit=quantity.unit,
            merge=MergeClass.MEAN,
            axes=self._axes(),
            values=values,
            errors=errors,
            sums=x,
            squares=xx,
            weights=Weights(y, yy, xy),
            metadata=metadata,
        )

    def _quantity(self) -> _Quantity:
        if not self.scorer.own:
            known = _PAGES.get(self.option.get("keyword", ""))
            return known or _Quantity(self.option["page"], self.option["unit"])
        if average := AVERAGES.get(self.scorer.kind):
            return _Quantity(average.page, average.property.unit)
        if drawn := MAPS.get(self.scorer.kind):
            return _Quantity(drawn.page, drawn.unit)
        total = TOTALS[self.scorer.kind]
        page, unit, factor = total.page, total.unit, total.factor
        if self.option.get("keyword") == "DoseGy":
            page, unit, factor = "DOSE-GY", "Gy", GY_PER_MEV_PER_G
        if self.option.get("keyword") == "DDD":
            page = "DDD"
        for axis in self.scorer.axes:
            per = AXES[axis.key].unit
            unit += f"/({per})" if "/" in per else f"/{per}" if per else ""
        return _Quantity(page, f"{unit}/prim", factor)

    @property
    def _inner(self) -> int:
        return int(self.option.get("rings_within", 0))

    def _axes(self) -> tuple[Axis, ...]:
        axes = mesh_axes(self.mesh, self._inner)
        if self.mesh.shape == "volume":
            copies = self.scored.shape[0]
            axes = (Axis.linear("Copy number", "", -0.5, copies - 0.5, copies),)
        axes = (*axes, *self._differential())
        return tuple(axis for axis in axes if axis.n > 1)

    def _differential(self) -> tuple[Axis, ...]:
        return tuple(
            (Axis.log if axis.log else Axis.linear)(
                AXES[axis.key].name, AXES[axis.key].unit, axis.low, axis.high, axis.n
            )
            for axis in self.scorer.axes
        )

    def _fortran(self, columns: Mapping[str, FloatArray], name: str) -> FloatArray:
        """Convert C order of a dump to first axis fastest: x, y, z or r, phi, z, then differential.

        Inner rings that the detector leaves out are dropped.
        """
        shape = (*self.scored.shape, *(axis.n for axis in self.scorer.axes))
        if name not in columns or columns[name].size != int(np.prod(shape)):
            raise ReadError(self.file, f"byte {START}", f"scorer {name} has other bins")
        cube = columns[name].reshape(shape)
        if self.mesh.shape == "cylinder":
            cube = cube.transpose(2, 1, 0, *range(3, cube.ndim))[self._inner :]
        return np.ascontiguousarray(cube.flatten(order="F"))

    def _densities(self) -> FloatArray | float:
        """Return factors from our totals to densities: one over volume and widths of each bin.

        Native scorers have divided already.
        """
        if not self.scorer.own:
            return 1.0
        widths = [np.diff(axis.edges) for axis in self._differential()]
        axes = mesh_axes(self.mesh, self._inner)
        sizes = [np.diff(axis.edges) for axis in axes]
        if self.mesh.shape == "cylinder":
            radius, angle, _ = (axis.edges for axis in axes)
            sizes[:2] = [0.5 * np.diff(radius**2), np.radians(np.diff(angle))]
        if not TOTALS[self.scorer.kind].per_volume:
            sizes = [np.ones_like(size) for size in sizes]
        measure = np.ones(self.scored.shape[0] if self.mesh.shape == "volume" else ())
        for size in (*sizes, *widths):
            measure = np.multiply.outer(measure, size)
        return np.ascontiguousarray(1.0 / measure.flatten(order="F"))


def standard_errors(sums: FloatArray, squares: FloatArray, primaries: int) -> FloatArray | None:
    """Return the standard error of the mean per primary; None for a single primary."""
    if primaries < 2:
        return None
    mean = sums / primaries
    variance = np.maximum(squares / primaries - mean * mean, 0.0)
    errors: FloatArray = np.sqrt(variance / (primaries - 1))
    return errors


def mesh_axes(mesh: Mesh, inner: int = 0) -> tuple[Axis, ...]:
    """Return all axes of a mesh, first one fastest, without ``inner`` rings.

    Positions are those in the world, or along a rotated mesh's own axes from its centre.
    """
    if mesh.shape == "volume":
        return ()
    centre = (0.0, 0.0, 0.0) if mesh.turns else mesh.centre
    if mesh.shape == "cylinder":
        radius, half = mesh.size
        n_z, n_phi, n_r = mesh.dump_shape
        inside = radius * (inner + mesh.left_out) / mesh.bins[0]
        return (
            Axis.linear("Radius (R)", "cm", inside, radius, n_r - inner),
            Axis.linear("Angle (PHI)", "degrees", 0.0, 360.0, n_phi),
            Axis.linear("Position (Z)", "cm", centre[2] - half, centre[2] + half, n_z),
        )
    return tuple(
        Axis.linear(f"Position ({name})", "cm", middle - half, middle + half, n)
        for name, middle, half, n in zip("XYZ", centre, mesh.size, mesh.bins, strict=True)
    )
