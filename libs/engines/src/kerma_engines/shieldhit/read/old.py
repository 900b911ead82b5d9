"""Read SHIELD-HIT12A's formats of one page per file: bin2010 (Fortran records) and BDO of 2016.

Both hold the arrays of the same Fortran scorer: sums over primaries, first axis fastest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.results.binary import number_record, record
from kerma_engines.results.estimators import Estimator, MergeClass, Page
from kerma_engines.shieldhit.read.axes import axis_units, is_zone, make_axis, mesh_axes
from kerma_engines.shieldhit.read.quantities import detector_name, old_quantity
from kerma_engines.shieldhit.read.tokens import DataBlock, Tags, read_tokens

if TYPE_CHECKING:
    from kerma_engines.results.binary import BinaryFile
    from kerma_engines.results.estimators import Axis, FloatArray

GEOMETRY, BINS, DETECTOR = 0xDD00, 0xDD01, 0xDD03
DIFF_BINS, DIFF_TYPE, FIRST_ZONE = 0xDD07, 0xDD08, 0xDD09
START, STOP, DIFF_START, DIFF_STOP = 0xDD0C, 0xDD0D, 0xDD0E, 0xDD0F
VERSION, PRIMARIES = 0x00, 0xAA00
_TAGS = frozenset(
    {GEOMETRY, BINS, DETECTOR, DIFF_BINS, DIFF_TYPE, FIRST_ZONE, START, STOP}
    | {DIFF_START, DIFF_STOP, VERSION, PRIMARIES}
)
_DIFFERENTIAL = {
    1: ("Kinetic energy", "MeV", 1.0),
    2: ("LET", "keV/um", 0.1),  # stored in MeV/cm
    3: ("Angle", "rad", 1.0),
}


@dataclass(frozen=True, slots=True)
class _Detector:
    """The contents of the scorer's DET and IDET arrays that reading needs."""

    geometry: str
    type: int
    primaries: int
    bins: list[int]
    start: list[float]
    stop: list[float]
    differential: tuple[int, int, float, float]
    """Number of bins (negative: logarithmic), type, start, stop."""
    first_zone: int


def read_bdo2016(file: BinaryFile, name: str) -> Estimator:
    """Return the estimator in ``file``, whose header has been read. Raises ReadError."""
    tags = Tags(file, _TAGS)
    values: FloatArray | None = None
    for token in read_tokens(file):
        if isinstance(token.value, DataBlock):
            values = token.value.read()
        tags.put(token)
    if values is None:
        raise file.error("the file ends without data")
    detector = _Detector(
        tags.text(GEOMETRY).upper(),
        tags.integer(DETECTOR, "detector type"),
        tags.integer(PRIMARIES, "number of primaries"),
        tags.integers(BINS, 3, "numbers of bins"),
        tags.floats(START, 3, "axis starts"),
        tags.floats(STOP, 3, "axis stops"),
        (
            tags.integer(DIFF_BINS, "differential bins", 1),
            tags.integer(DIFF_TYPE, "differential type", 0),
            tags.number(DIFF_START, 0.0),
            tags.number(DIFF_STOP, 0.0),
        ),
        tags.integer(FIRST_ZONE, "first zone", 1),
    )
    metadata = {"mc_code_version": tags.text(VERSION)} if tags.text(VERSION) else {}
    return _estimator(file, name, detector, values, {**metadata, "file_format": "bdo2016"})


def read_bin2010(file: BinaryFile, name: str) -> Estimator:
    """Read the estimator in a Fortran file. Raises ReadError.

    The records are geometry, primaries, DET, IDET and bins.
    """
    geometry = record(file, "geometry type").decode("ascii", "replace").strip().upper()
    primaries = number_record(file, "<i4", 1, "number of primaries")
    if geometry == "VOXSCORE":
        record(file, "tumour dose")
        record(file, "number of projectiles")
    det = number_record(file, "<f8", 8, "DET").tolist()
    idet = [int(value) for value in number_record(file, "<i4", 11, "IDET")]
    bins, differential = idet[:3], (idet[8] if geometry.startswith("D") else 1)
    count = math.prod(abs(n) for n in (*bins, differential))
    if 8 * count > file.remaining:
        raise file.error(f"{count} bins announced, {file.remaining} bytes left")
    values = number_record(file, "<f8", count, "data")
    detector = _Detector(
        geometry,
        idet[4],
        int(primaries[0]),
        bins,
        det[:3],
        det[3:6],
        (differential, idet[9], det[6], det[7]),
        idet[10],
    )
    return _estimator(file, name, detector, values, {"file_format": "bin2010"})


def _estimator(
    file: BinaryFile,
    name: str,
    detector: _Detector,
    values: FloatArray,
    metadata: dict[str, str],
) -> Estimator:
    axes, values = _axes(file, detector, values)
    quantity = old_quantity(detector.type, per_zone=is_zone(detector.geometry))
    if quantity.merge is MergeClass.PER_PRIMARY:
        if detector.primaries < 1:
            raise file.error(f"{detector.primaries} primaries")
        values = values / detector.primaries
    title = detector_name(detector.type)
    page = Page(
        0,
        title,
        quantity.unit,
        quantity.merge,
        tuple(axes),
        values,
        metadata={"dettyp": title, "detector_type": str(detector.type)},
    )
    primaries = max(detector.primaries, 0)
    return Estimator(name, file.name, primaries, (page,), {**metadata, "geotyp": detector.geometry})


def _axes(
    file: BinaryFile, detector: _Detector, values: FloatArray
) -> tuple[list[Axis], FloatArray]:
    """Return axes and values.

    A differential axis, stored in place of a single bin, is moved last.
    """
    bins, start, stop = detector.bins, detector.start, detector.stop
    n, kind, low, high = detector.differential
    counts = [abs(count) for count in (*bins, n)]
    if 0 in counts or math.prod(counts) != values.size:
        raise file.error(f"{values.size} numbers for {' x '.join(map(str, counts))} bins")
    if is_zone(detector.geometry):
        start = [float(detector.first_zone), 0.0, 0.0]
        stop = [float(detector.first_zone + counts[0] - 1), 0.0, 0.0]
    units = axis_units(detector.geometry)
    axes = mesh_axes(file, detector.geometry, units, start, stop, bins)
    if counts[3] == 1:
        return axes, values
    title, unit, factor = _DIFFERENTIAL.get(kind, (detector_name(kind), "", 1.0))
    axes.append(make_axis(file, title, unit, low * factor, high * factor, counts[3], log=n < 0))
    free = next((axis for axis in (2, 1, 0) if counts[axis] == 1), 3)
    stored = [*counts[:free], counts[3], *counts[free + 1 : 3]]
    block = values.reshape(stored, order="F")
    return axes, np.moveaxis(block, free, -1).reshape(-1, order="F")
