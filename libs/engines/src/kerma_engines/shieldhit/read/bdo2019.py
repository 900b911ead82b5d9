"""Read SHIELD-HIT12A's BDO files since 2019: one detector geometry, several pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kerma_engines.results.estimators import Estimator, MergeClass, Page
from kerma_engines.shieldhit.read.axes import axis_units, make_axis, mesh_axes
from kerma_engines.shieldhit.read.quantities import (
    PHASE_SPACE,
    PHASE_SPACE_COLUMNS,
    detector_name,
    differential_name,
    unit_name,
)
from kerma_engines.shieldhit.read.tokens import DataBlock, Tags, read_tokens

if TYPE_CHECKING:
    from kerma_engines.results.binary import BinaryFile
    from kerma_engines.results.estimators import Axis, FloatArray

PRIMARIES, FORMAT = 0xAA00, 0x05
GEOMETRY, GEOMETRY_NAME, START, STOP, BINS = 0xE000, 0xE001, 0xE002, 0xE003, 0xE004
AXIS_UNITS, AXIS_UNIT_IDS, RESCALE = 0xE009, 0xE00A, 0xEE03
DETECTOR, NUMBER, NORMALISATION, UNIT, FILTER = 0xDD30, 0xDD31, 0xDD32, 0xDDBC, 0xDDF0
SCALE, OFFSET = 0xDD33, 0xDD34
DIFF_FLAG, DIFF_TYPE, DIFF_START, DIFF_STOP = 0xDDD0, 0xDDD1, 0xDDD2, 0xDDD3
DIFF_BINS, DIFF_UNITS = 0xDDD4, 0xDDD5

_TEXTS = {
    0x00: "mc_code_version",
    0x01: "mc_code_build_date",
    0x02: "filedate",
    GEOMETRY: "geotyp",
    GEOMETRY_NAME: "geo_name",
}
_FILE_TAGS = frozenset({PRIMARIES, START, STOP, BINS, AXIS_UNITS, AXIS_UNIT_IDS, RESCALE, *_TEXTS})
_PAGE_TAGS = frozenset(
    {DETECTOR, NUMBER, NORMALISATION, UNIT, FILTER, SCALE, OFFSET, DIFF_FLAG, DIFF_TYPE}
    | {DIFF_START, DIFF_STOP, DIFF_BINS, DIFF_UNITS}
)
_CLASSES = {
    0: MergeClass.FIRST,
    1: MergeClass.SUM,
    2: MergeClass.PER_PRIMARY,
    3: MergeClass.MEAN,
    4: MergeClass.CONCAT,
}


def read_bdo2019(file: BinaryFile, name: str) -> Estimator:
    """Return the estimator in ``file``, whose header has been read. Raises ReadError."""
    tags, page_tags = Tags(file, _FILE_TAGS), Tags(file, _PAGE_TAGS)
    pages: list[Page] = []
    for token in read_tokens(file):
        if token.tag == DETECTOR:
            if page_tags.values:
                raise file.error("a page without data", token.offset)
            page_tags.put(token)
        elif isinstance(token.value, DataBlock):
            pages.append(_page(file, tags, page_tags, token.value, len(pages)))
            page_tags.clear()
        else:
            (page_tags if page_tags.values else tags).put(token)
    if page_tags.values or not pages:
        raise file.error("the file ends without the data of a page")
    metadata = {key: text for tag, key in _TEXTS.items() if (text := tags.text(tag))}
    metadata["file_format"] = "bdo2019"
    primaries = tags.integer(PRIMARIES, "number of primaries")
    return Estimator(name, file.name, primaries, tuple(pages), metadata)


def _page(file: BinaryFile, tags: Tags, page: Tags, data: DataBlock, index: int) -> Page:
    detector = page.integer(DETECTOR, "detector type")
    normalisation = page.integer(NORMALISATION, "normalisation class")
    if normalisation not in _CLASSES:
        raise file.error(f"unknown normalisation class {normalisation}")
    unit = page.text(UNIT)
    axes: tuple[Axis, ...] = ()
    if detector == PHASE_SPACE:
        if data.size % 8:
            raise file.error(f"{data.size} numbers are no whole particles")
    else:
        axes = tuple(_axes(file, tags, page, data.size))
    if normalisation == 2:
        values, unit = _per_primary(file, tags, data, unit)
    else:
        values = data.read()
    return Page(
        page.integer(NUMBER, "page number", index),
        detector_name(detector),
        unit,
        MergeClass.CONCAT if detector == PHASE_SPACE else _CLASSES[normalisation],
        axes,
        values,
        metadata=_page_metadata(page, detector, normalisation),
    )


def _page_metadata(page: Tags, detector: int, normalisation: int) -> dict[str, str]:
    metadata = {
        "dettyp": detector_name(detector),
        "detector_type": str(detector),
        "page_normalized": str(normalisation),
    }
    if page.text(FILTER):
        metadata["page_filter_name"] = page.text(FILTER)
    if detector == PHASE_SPACE:
        metadata["columns"] = PHASE_SPACE_COLUMNS
    for key, tag, neutral in (("page_scale_factor", SCALE, 1.0), ("page_offset", OFFSET, 0.0)):
        if page.number(tag, neutral) != neutral:
            metadata[key] = repr(page.number(tag, neutral))
    return metadata


def _per_primary(
    file: BinaryFile, tags: Tags, data: DataBlock, unit: str
) -> tuple[FloatArray, str]:
    """Normalise sums over primaries: per primary, or to the requested number of primaries."""
    primaries = tags.integer(PRIMARIES, "number of primaries")
    if primaries < 1:
        raise file.error(f"{primaries} primaries")
    values = data.read(float(primaries))
    wanted = tags.number(RESCALE, 1.0)
    if wanted == 1.0 or not math.isfinite(wanted):
        return values, unit + "/prim"
    values *= wanted
    return values, unit


def _axes(file: BinaryFile, tags: Tags, page: Tags, size: int) -> list[Axis]:
    geometry = tags.text(GEOMETRY).upper()
    bins = tags.integers(BINS, 3, "numbers of bins")
    diff_bins, flags = _differential_bins(page)
    counts = [abs(n) for n in (*bins, *diff_bins)]
    if 0 in counts or math.prod(counts) != size:
        shape = " x ".join(str(n) for n in counts)
        raise file.error(f"{size} numbers for {shape} bins")
    start, stop = tags.floats(START, 3, "axis starts"), tags.floats(STOP, 3, "axis stops")
    axes = mesh_axes(file, geometry, _mesh_units(tags, geometry), start, stop, bins)
    units = [*page.text(DIFF_UNITS).split(";"), "", "", ""]
    for index, n in enumerate(diff_bins):
        if n < 2:
            continue
        unit = units[index + 1]  # the first is the unit of the data
        axes.append(
            make_axis(
                file,
                differential_name(_optional(page, DIFF_TYPE, index), unit),
                unit,
                page.floats(DIFF_START, index + 1, "differential start")[index],
                page.floats(DIFF_STOP, index + 1, "differential stop")[index],
                n,
                log=flags[index] < 0,
            )
        )
    return axes


def _differential_bins(page: Tags) -> tuple[list[int], list[int]]:
    """Return numbers of bins and flags (negative: logarithmic) of up to two differential axes."""
    stored = page.values.get(DIFF_BINS)
    if stored is None or isinstance(stored, str):
        return [], []
    bins = page.integers(DIFF_BINS, min(stored.size, 2), "differential bins")
    return bins, [_optional(page, DIFF_FLAG, index, 1) for index in range(len(bins))]


def _optional(page: Tags, tag: int, index: int, default: int = -1) -> int:
    value = page.values.get(tag)
    if value is None or isinstance(value, str) or value.size <= index:
        return default
    return page.integers(tag, index + 1, "differential axis")[index]


def _mesh_units(tags: Tags, geometry: str) -> list[str]:
    """Return the units of the three axes; cylinder angles are stored in radians but labelled cm."""
    texts = tags.text(AXIS_UNITS).split(";")
    if len(texts) != 3:
        stored = tags.values.get(AXIS_UNIT_IDS)
        if stored is None or isinstance(stored, str) or stored.size < 3:
            return list(axis_units(geometry))
        texts = [unit_name(number) for number in tags.integers(AXIS_UNIT_IDS, 3, "axis units")]
    if geometry in ("CYL", "DCYL"):
        texts[1] = "rad"
    return texts
