"""Read FLUKA's USRTRACK, USRBDX and RESNUCLEI files.

Per detector a header record (50, 78 or 38 bytes), with low-energy neutrons a record of their group
edges, then float32 values: first the energy (and angle) bins, then the neutron groups, which become
a separate page since they need not fit the energy bins. Summed files have relative errors after a
record STATISTICS: in USRBDX the last of seven records per detector, in RESNUCLEI the sixth of six
or seven. Those of USRTRACK are in another order and are not used.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.fluka.read.binned import STATISTICS, shortest, with_relative_errors
from kerma_engines.fluka.read.scores import particle_name
from kerma_engines.results.binary import number_record, record, record_end, record_length
from kerma_engines.results.estimators import Axis, Binning, MergeClass, Page

if TYPE_CHECKING:
    from kerma_engines.results.binary import BinaryFile
    from kerma_engines.results.estimators import FloatArray

TRACK, BOUNDARY, NUCLEI = 50, 78, 38
"""Sizes of the detector records, by which the files are told apart."""

_TRACK = struct.Struct("<i10siiififfif")
_BOUNDARY = struct.Struct("<i10siiiifiiiffifffif")
_NUCLEI = struct.Struct("<i10siifiii")
_ENERGY_CODES = {208, 211}
_NEUTRON_GROUPS = " low-energy neutron groups"


@dataclass(slots=True)
class _File:
    """The file being read and what its detectors share."""

    file: BinaryFile
    evolution: bool
    isomers: bool = False
    detectors: list[tuple[Page, ...]] = field(default_factory=list)

    def add(self, pages: tuple[Page, ...]) -> None:
        self.detectors.append(pages)


def read_spectra(file: BinaryFile, first: bytes, *, evolution: bool) -> list[Page]:
    """Read the pages of a file whose first detector record is ``first``.

    ``evolution``: residual nuclei at a decay time, which precedes every detector's data. Raises
    ReadError.
    """
    state = _File(file, evolution)
    header: bytes | None = first
    while header is not None and header[:10] != STATISTICS:
        if header[:8] == b"ISOMERS:":
            state.isomers = True
            _skip_records(file, 1)
        elif len(header) != len(first):
            raise file.error(f"a detector record of {len(header)} bytes, not {len(first)}")
        else:
            state.add(_READERS[len(first)](state, header))
        header = record(file, "detector") if file.remaining else None
    if header is not None and len(first) != TRACK:
        _add_errors(state, len(first))
    pages = [page for detector in state.detectors for page in detector]
    return [replace(page, number=number) for number, page in enumerate(pages)]


def _track(state: _File, header: bytes) -> tuple[Page, ...]:
    _, title, kind, code, _, _, low_neutrons, low, high, bins, _ = _TRACK.unpack(header)
    name, unit = f"FLUENCE {particle_name(code)}", _unit(code, "/cm^2/GeV/prim")
    groups = _groups(state.file) if low_neutrons else None
    energy = _energy_axis(state.file, low, high, bins, log=kind < 0)
    return _differential_pages(state.file, title, name, unit, [energy], groups)


def _boundary(state: _File, header: bytes) -> tuple[Page, ...]:
    fields = _BOUNDARY.unpack(header)
    title, kind, code, fluence, low_neutrons = fields[1], fields[2], fields[3], fields[8], fields[9]
    name = f"{'FLUENCE' if fluence else 'CURRENT'} {particle_name(code)}"
    groups = _groups(state.file) if low_neutrons else None
    energy = _energy_axis(state.file, *fields[10:13], log=kind < 0)
    angle = _angle_axis(state.file, *fields[14:17], log=abs(kind) > 1)
    unit = _unit(code, "/cm^2/GeV/sr/prim")
    return _differential_pages(state.file, title, name, unit, [energy, angle], groups)


def _nuclei(state: _File, header: bytes) -> tuple[Page, ...]:
    """Return numbers of nuclei by charge Z (first axis) and neutron excess N - Z."""
    _, title, _, region, _, excesses, charges, lowest = _NUCLEI.unpack(header)
    if state.evolution:
        _skip_records(state.file, 1)
    if min(excesses, charges) < 1:
        raise state.file.error(f"{charges} x {excesses} nuclei")
    values = number_record(state.file, "<f4", excesses * charges, "nuclei")
    axes = [
        Axis.linear("Charge Z", "", 0.5, charges + 0.5, charges),
        Axis.linear("Neutron excess N-Z", "", lowest + 0.5, lowest + excesses + 0.5, excesses),
    ]
    metadata = {"region": str(region)}
    return (_page(title, "RESIDUAL NUCLEI", "nuclei/cm^3/prim", axes, values, metadata),)


_READERS = {TRACK: _track, BOUNDARY: _boundary, NUCLEI: _nuclei}


def _differential_pages(
    file: BinaryFile,
    title: bytes,
    name: str,
    unit: str,
    axes: list[Axis],
    groups: FloatArray | None,
) -> tuple[Page, ...]:
    angles = math.prod(axis.n for axis in axes[1:])
    bins = axes[0].n * angles
    more = 0 if groups is None else (groups.size - 1) * angles
    values = number_record(file, "<f4", bins + more, "spectrum")
    page = _page(title, name, unit, axes, values[:bins])
    if groups is None:
        return (page,)
    # groups are stored from high to low energy, integrated over the group
    stored = values[bins:].reshape(groups.size - 1, angles, order="F")[::-1]
    axis = Axis("Kinetic energy", "GeV", groups[::-1].copy(), Binning.LOG)
    low = stored.reshape(-1, order="F").copy()
    per_group = unit.replace("/GeV", "", 1)
    return (page, _page(title, name + _NEUTRON_GROUPS, per_group, [axis, *axes[1:]], low))


def _page(
    title: bytes,
    name: str,
    unit: str,
    axes: list[Axis],
    values: FloatArray,
    metadata: dict[str, str] | None = None,
) -> Page:
    text = title.decode("ascii", "replace").strip()
    return Page(
        0,
        name,
        unit,
        MergeClass.PER_PRIMARY,
        tuple(axis for axis in axes if axis.n > 1),
        values,
        metadata={"title": text, **(metadata or {})},
    )


def _unit(code: int, unit: str) -> str:
    return f"GeV{unit}" if code in _ENERGY_CODES else unit


def _groups(file: BinaryFile) -> FloatArray:
    """Return the neutron group edges in GeV, descending: int32 number, then one edge more."""
    data = record(file, "neutron groups")
    if len(data) < 12 or len(data) % 4:
        raise file.error(f"neutron groups in {len(data)} bytes")
    (count,) = struct.unpack_from("<i", data)
    with np.errstate(invalid="ignore"):  # NaNs do not descend
        edges = np.frombuffer(data, "<f4", offset=4).astype(np.float64)
        descending = bool(np.all(np.diff(edges) < 0))
    if count != edges.size - 1 or not descending:
        raise file.error(f"{edges.size} edges for {count} neutron groups, or not descending")
    return edges


def _energy_axis(file: BinaryFile, low: float, high: float, bins: int, *, log: bool) -> Axis:
    start, stop = shortest(low), shortest(high)
    _check_axis(file, "energy", bins, start, stop, positive=log)
    make = Axis.log if log else Axis.linear
    return make("Kinetic energy", "GeV", start, stop, bins)


def _angle_axis(file: BinaryFile, low: float, high: float, bins: int, *, log: bool) -> Axis:
    """Return the solid angle.

    The first logarithmic bin begins at zero and ends at the lower limit.
    """
    start, stop = shortest(low), shortest(high)
    _check_axis(file, "angle", bins, start, stop, positive=log)
    if not log:
        return Axis.linear("Solid angle", "sr", start, stop, bins)
    edges = np.concatenate(([0.0], np.geomspace(start, stop, bins)))
    if bins == 1:
        edges = np.array([0.0, stop])
    return Axis("Solid angle", "sr", edges, Binning.LOG)


def _check_axis(
    file: BinaryFile, what: str, bins: int, start: float, stop: float, *, positive: bool
) -> None:
    if not 1 <= bins <= file.remaining // 4:
        raise file.error(f"{bins} {what} bins")
    if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
        raise file.error(f"{what} from {start} to {stop}")
    if positive and start <= 0:
        raise file.error(f"logarithmic {what} bins from {start}")


def _add_errors(state: _File, kind: int) -> None:
    """Read the statistics of all detectors; the last of the main records has the errors."""
    before, after = (6, 0) if kind == BOUNDARY else (5, int(state.isomers))
    for number, pages in enumerate(state.detectors):
        _skip_records(state.file, before)
        sizes = [page.values.size for page in pages]
        relative = number_record(state.file, "<f4", sum(sizes), "errors")
        parts = np.split(relative, np.cumsum(sizes)[:-1])
        if len(pages) > 1:  # as the values of the groups
            angles = math.prod(axis.n for axis in pages[1].axes[1:])
            groups = parts[1].reshape(-1, angles, order="F")[::-1]
            parts[1] = groups.reshape(-1, order="F").copy()
        state.detectors[number] = tuple(map(with_relative_errors, pages, parts))
        _skip_records(state.file, after)


def _skip_records(file: BinaryFile, count: int) -> None:
    for _ in range(count):
        length = record_length(file, "record")
        file.skip(length, "record")
        record_end(file, length, "record")
