"""Read FLUKA's USRBIN files: one or more meshes, in summed files with relative errors.

Per detector a record of 86 bytes (index, name, mesh type, score, three times low, high, bins and
step, four more) and a record of float32 values, first axis fastest. In summed files a record
STATISTICS and one record of relative errors per detector follow.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.fluka.read.scores import binned_score
from kerma_engines.results.binary import number_record, record
from kerma_engines.results.estimators import Axis, MergeClass, Page

if TYPE_CHECKING:
    from kerma_engines.results.binary import BinaryFile
    from kerma_engines.results.estimators import FloatArray

HEADER = 86
STATISTICS = b"STATISTICS"
_LAYOUT = struct.Struct("<i10sii" + "ffif" * 3 + "ifff")
_CYLINDRICAL = {1, 11}
_REGION = {2, 12}
_SPECIAL = {8, 18}


def read_binned(file: BinaryFile, first: bytes) -> list[Page]:
    """Read the pages of a USRBIN file after its first detector record. Raises ReadError."""
    pages: list[Page] = []
    header: bytes | None = first
    while header is not None:
        if header[:10] == STATISTICS:
            return [_with_errors(file, page) for page in pages]
        if len(header) != HEADER:
            raise file.error(f"a detector record of {len(header)} bytes, not {HEADER}")
        pages.append(_page(file, header, len(pages)))
        header = record(file, "detector") if file.remaining else None
    return pages


def _page(file: BinaryFile, header: bytes, number: int) -> Page:
    _, title, kind, code, *rest = _LAYOUT.unpack(header)
    ranges = [tuple(rest[at : at + 4]) for at in (0, 4, 8)]
    counts = [int(bins) for _, _, bins, _ in ranges]
    if min(counts) < 1:
        raise file.error(f"numbers of bins {counts}")
    size = math.prod(counts)
    score = binned_score(code, per_region=kind in _REGION)
    values = number_record(file, "<f4", size, "bins")
    values *= score.factor
    axes = _axes(file, kind, ranges)
    name = title.decode("ascii", "replace").strip()
    metadata = {"title": name, "score": str(code), "mesh_type": str(kind)}
    return Page(
        number, score.name, score.unit, MergeClass.PER_PRIMARY, axes, values, metadata=metadata
    )


def _axes(
    file: BinaryFile, kind: int, ranges: list[tuple[float, float, int, float]]
) -> tuple[Axis, ...]:
    titles = [("Position (X)", "cm"), ("Position (Y)", "cm"), ("Position (Z)", "cm")]
    if kind in _CYLINDRICAL:
        titles[0], titles[1] = ("Radius (R)", "cm"), ("Angle (PHI)", "rad")
        ranges[1] = (-math.pi, math.pi, *ranges[1][2:])
    elif kind in _REGION:
        titles = [("Region", ""), ("Region group 2", ""), ("Region group 3", "")]
    axes = []
    for at, ((title, unit), (low, high, bins, step)) in enumerate(zip(titles, ranges, strict=True)):
        if bins < 2:
            continue
        start, stop = shortest(low), shortest(high)
        if kind in _REGION or (kind in _SPECIAL and at < 2):
            start, stop = start - 0.5 * step, start + (bins - 0.5) * step  # numbers, not edges
        if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
            raise file.error(f"axis {title!r} runs from {start} to {stop}")
        axes.append(Axis.linear(title, unit, start, stop, bins))
    return tuple(axes)


def shortest(value: float) -> float:
    """Return the intended number: the shortest decimal whose float32 is ``value``."""
    return value if value in (math.pi, -math.pi) else float(str(np.float32(value)))


def _with_errors(file: BinaryFile, page: Page) -> Page:
    relative = number_record(file, "<f4", page.values.size, "errors")
    return with_relative_errors(page, relative)


def with_relative_errors(page: Page, relative: FloatArray) -> Page:
    """Add standard errors to ``page``; ``relative`` holds fractions and is overwritten."""
    with np.errstate(invalid="ignore"):  # a damaged file may contain 0 % of infinity, which is NaN
        relative *= np.abs(page.values)
    return replace(page, errors=relative)
