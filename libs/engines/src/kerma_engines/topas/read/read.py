"""Read TOPAS results: CSV files with a header of ``#`` lines.

A row has the three indices of a bin and the reported statistics; without a mesh only the
statistics. Binned by energy or time, it has the statistics bin after bin and no indices, with an
underflow bin first, and at the end an overflow bin and (for energy) a bin of particles without
incident track. The last axis runs fastest over rows, from OpenTOPAS 4.2 on the first; the indices
show which, or else the version. In pages the first axis runs fastest. The file does not contain the
number of histories; the parameter file beside it, named in the header, does.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, TextIO

import numpy as np

from kerma_engines.adapter.outputs import read_outputs
from kerma_engines.errors import ReadError
from kerma_engines.regular import open_text, read_regular
from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page
from kerma_engines.topas.parameters import gathered, histories

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import FloatArray

_VERSION = re.compile(r"# TOPAS Version: (.*)")
_PARAMETERS = re.compile(r"# Parameter File: (.*)")
_SCORER = re.compile(r"# Results for scorer: (.*)")
_FILTER = re.compile(r"# Filtered by: (.*)")
_MESH = re.compile(r"# (X|Y|Z|R|Phi|Theta) in (\d{1,9}) bins? +of ([-+.\deE]+) (\w+)")
_BINNED = re.compile(
    r"# Binned by (.+?) in (\d{1,9}) bins? +of (\S+) (\w+) from ([-+.\deE]+) \w+ to ([-+.\deE]+) \w+"
)
_COLUMNS = re.compile(r"# (\w+) (?:\( (.*) \) )?: +(\S.*)")
_RELEASE = re.compile(r"\s*[vV]?(\d{1,4})\.(\d{1,4})")
_FIRST_AXIS_FASTEST = (4, 2)
"""The version of OpenTOPAS from which on the first axis runs fastest over rows."""

_CELL = re.compile(r"[^,\n]+")
_STATISTICS = {"Mean": MergeClass.PER_PRIMARY, "Sum": MergeClass.SUM}
_DEVIATION = "Standard_Deviation"
_AVERAGES = {"ProtonLET"}
"""Quotients of two sums: not means over histories. TOPAS reports the deviation of the numerator."""

_MESH_AXES = 3
_SMALLEST_ROW, _SMALLEST_CELL = len("0,0,0,0\n"), len("0, ")
"""The fewest bytes of a file that a row of a mesh and a bin of a spectrum take."""

_WIDE = 10_000
"""With this many columns, rows are read number by number: otherwise each column takes memory."""

_LONGEST_LINE, _LONGEST_HEADER, _LARGEST_PARAMETERS = 4096, 1000, 4 << 20
"""Limits of a header or parameter file in characters, lines and bytes."""


@dataclass(frozen=True, slots=True)
class _Bins:
    """An announced axis. Its edges are only made once the file has proven as long."""

    name: str
    unit: str
    low: float
    high: float
    n: int
    width: str = ""

    @property
    def axis(self) -> Axis:
        if self._logarithmic:
            return Axis.log(self.name, self.unit, self.low, self.high, self.n)
        return Axis.linear(self.name, self.unit, self.low, self.high, self.n)

    @property
    def _logarithmic(self) -> bool:
        """Return whether the bins' width is one of decimal logarithms (OpenTOPAS)."""
        try:
            span = float(self.width) * self.n
        except ValueError:
            return False
        if self.low <= 0 or math.isclose(span, self.high - self.low, rel_tol=1e-3):
            return False
        return math.isclose(span, math.log10(self.high / self.low), rel_tol=1e-3)


@dataclass(slots=True)
class _Header:
    """The contents of the lines beginning with ``#``; ``lines`` is their number."""

    lines: int = 0
    scorer: str = ""
    quantity: str = ""
    unit: str = ""
    columns: tuple[str, ...] = ()
    mesh: tuple[_Bins, ...] = ()
    differential: _Bins | None = None
    parameters: str = ""
    version: str = ""
    filters: tuple[str, ...] = ()


def is_topas(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is from TOPAS."""
    return head.removeprefix(codecs.BOM_UTF8).startswith(b"# TOPAS")


def read_topas_file(path: Path) -> Estimator:
    """Read the estimator in a CSV file. Raises ReadError.

    Without the parameter file the number of primaries is 0 and there are no errors, since it
    converts the standard deviation of one history to that of the mean.
    """
    try:
        with open_text(path, "ascii") as file:
            header, first = _header(path, file)
            statistics = _statistics(path, header, chain([first] if first else [], file))
    except OSError as error:
        raise ReadError(path.name, "open", error.strerror or "failed") from error
    histories = _histories(path, header.parameters)
    page = _page(path, header, statistics, histories)
    metadata = {"mc_code_version": header.version, "file_format": "csv"}
    return Estimator(path.stem, path.name, histories, (page,), metadata)


def read(directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
    """Read the estimators of a finished task, in the order of the output map. Raises ReadError."""
    files = {path.stem: path for path in sorted(directory.glob("*.csv"))}
    return read_outputs(
        inputs, lambda file: files.get(file.removesuffix(".csv")), files.values(), read_topas_file
    )


def _header(path: Path, file: TextIO) -> tuple[_Header, str]:
    """Return the header, and the first line after it."""
    header = _Header()
    while (line := file.readline()).startswith("#"):
        header.lines += 1
        if len(line) > _LONGEST_LINE or header.lines > _LONGEST_HEADER:
            raise ReadError(path.name, f"line {header.lines}", "too long for a header")
        _header_line(path, header, line.rstrip())
    if not header.columns:
        where = f"line {header.lines}"
        raise ReadError(path.name, where, "the header ends without quantity and statistics")
    return header, line


def _header_line(path: Path, header: _Header, line: str) -> None:
    if found := _MESH.match(line):
        header.mesh += (_mesh_bins(path, header, *found.groups()),)
        rows = math.prod(bins.n for bins in header.mesh)
        if len(header.mesh) > _MESH_AXES or rows * _SMALLEST_ROW > path.stat().st_size:
            reason = f"a mesh of {' x '.join(str(bins.n) for bins in header.mesh)} bins"
            raise ReadError(path.name, f"line {header.lines}", f"{reason} is not in this file")
    elif found := _BINNED.match(line):
        what, bins, width, unit, start, stop = found.groups()
        name = what[:1].upper() + what[1:]
        if header.differential is not None:
            raise ReadError(path.name, f"line {header.lines}", "binned by a second quantity")
        header.differential = _bins(path, header, name, unit, start, stop, bins, width)
    elif found := _SCORER.match(line):
        header.scorer = found[1]
    elif found := _PARAMETERS.match(line):
        header.parameters = found[1]
    elif found := _VERSION.match(line):
        header.version = found[1]
    elif found := _FILTER.match(line):
        header.filters += (found[1],)
    elif (found := _COLUMNS.match(line)) and not header.columns:
        header.quantity, header.unit = found[1], (found[2] or "").strip()
        header.columns = tuple(found[3].split())


def _mesh_bins(path: Path, header: _Header, name: str, bins: str, width: str, unit: str) -> _Bins:
    """Return mesh axes, which begin at 0: the file contains only widths."""
    try:
        stop = repr(float(width) * int(bins))
    except ValueError:
        stop = width
    return _bins(path, header, name, unit, "0", stop, bins)


def _bins(
    path: Path,
    header: _Header,
    name: str,
    unit: str,
    start: str,
    stop: str,
    bins: str,
    width: str = "",
) -> _Bins:
    try:
        low, high, n = float(start), float(stop), int(bins)
    except ValueError:
        low, high, n = 0.0, 0.0, 0
    largest = path.stat().st_size // _SMALLEST_CELL
    if not (0 < n <= largest and math.isfinite(low) and math.isfinite(high) and low < high):
        where = f"line {header.lines}"
        raise ReadError(path.name, where, f"axis {name}: {bins} bins from {start} to {stop}")
    return _Bins(name, unit, low, high, n, width)


def _table(path: Path, header: _Header, lines: Iterable[str]) -> NDArray[np.float64]:
    """Return all rows, shape (rows, columns)."""
    rows = _rows(path, header, lines)
    if header.differential is not None and header.differential.n > _WIDE:
        return _wide_table(path, header, rows)
    try:
        table = np.loadtxt(rows, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        found = re.search(r"(.*) at row (\d+)", str(error))
        line = header.lines + 1 + (int(found[2]) if found else 0)
        raise ReadError(path.name, f"line {line}", found[1] if found else str(error)) from error
    return table


def _wide_table(path: Path, header: _Header, rows: Iterable[str]) -> NDArray[np.float64]:
    """Return all rows, shape (rows, columns)."""
    table = []
    for line, row in enumerate(rows, header.lines + 1):
        count = row.count(",") + 1
        cells = (float(cell[0]) for cell in _CELL.finditer(row))
        try:
            table.append(np.fromiter(cells, np.float64, count))
        except ValueError as error:
            raise ReadError(path.name, f"line {line}", str(error)[:100]) from error
    return table[0][np.newaxis] if len(table) == 1 else np.stack(table)


def _rows(path: Path, header: _Header, lines: Iterable[str]) -> Iterator[str]:
    """Yield the rows, each with as many numbers as the header announces. Raises ReadError."""
    reported = len(header.columns)
    allowed = {reported + len(header.mesh)}
    if header.differential is not None:
        # one underflow bin first, one or two special bins last
        allowed = {reported * (header.differential.n + outside) for outside in (2, 3)}
    line = header.lines
    for line, row in enumerate(lines, header.lines + 1):
        columns = row.count(",") + 1
        if columns not in allowed or row.isspace():
            expected = " or ".join(map(str, sorted(allowed)))
            raise ReadError(path.name, f"line {line}", f"{columns} columns instead of {expected}")
        allowed = {columns}
        yield row
    if line == header.lines:
        raise ReadError(path.name, f"line {line + 1}", "no rows after the header")


def _statistics(path: Path, header: _Header, lines: Iterable[str]) -> dict[str, FloatArray]:
    """Return each reported statistic, flat, first axis fastest."""
    table = _table(path, header, lines)
    shape = tuple(bins.n for bins in header.mesh)
    rows = len(table)
    if len(shape) not in (0, 3) or rows != math.prod(shape):
        where = f"line {header.lines + rows}"
        raise ReadError(path.name, where, f"{rows} rows for a mesh of {shape}")
    spectrum = header.differential
    if spectrum is not None:
        order = _order_of_version(path, header, shape)
        cells = table.reshape(rows, -1, len(header.columns))[order, 1 : spectrum.n + 1]
        bins: tuple[int, ...] = (rows, spectrum.n)
    else:
        order = _order_of_indices(path, header, table[:, : len(shape)], shape)
        cells = table[order, len(shape) :]
        bins = (rows,)
    return {
        name: cells[..., at].reshape(bins).reshape(-1, order="F")
        for at, name in enumerate(header.columns)
    }


def _order_of_indices(
    path: Path, header: _Header, found: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """Return the row of each bin, first axis fastest, by the indices that rows begin with.

    Raises ReadError unless every bin has one row.
    """
    rows = len(found)
    if not shape:
        return np.arange(rows)
    numbers = np.zeros(rows, dtype=np.intp)
    for axis, (column, n) in enumerate(zip(found.T, shape, strict=True)):
        wrong = np.flatnonzero((column != np.floor(column)) | (column < 0) | (column >= n))
        if wrong.size:
            where = f"line {header.lines + 1 + int(wrong[0])}"
            raise ReadError(path.name, where, f"bin number {column[wrong[0]]:g} of {n} bins")
        numbers += column.astype(np.intp) * math.prod(shape[:axis])
    order = np.full(rows, -1, dtype=np.intp)
    order[numbers] = np.arange(rows)
    twice = np.flatnonzero(order[numbers] != np.arange(rows))
    if twice.size:
        where = f"line {header.lines + 1 + int(twice[0])}"
        raise ReadError(path.name, where, "a later line has the same bin numbers")
    return order


def _order_of_version(path: Path, header: _Header, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the row of each bin, first axis fastest, where rows have no indices.

    The first axis runs fastest over rows from OpenTOPAS 4.2 on, the last one before. Raises
    ReadError where the order matters and the version is unknown.
    """
    rows = np.arange(math.prod(shape))
    if sum(n > 1 for n in shape) < 2:
        return rows
    release = _RELEASE.match(header.version)
    if release is None:
        reason = f"rows without bin numbers, of unknown TOPAS version {header.version[:32]!r}"
        raise ReadError(path.name, "header", f"{reason}: their order is not known")
    if (int(release[1]), int(release[2])) >= _FIRST_AXIS_FASTEST:
        return rows
    return rows.reshape(shape).reshape(-1, order="F")


def _page(path: Path, header: _Header, statistics: dict[str, FloatArray], histories: int) -> Page:
    reported = next((name for name in _STATISTICS if name in statistics), None)
    if reported is None:
        names = ", ".join(header.columns)
        raise ReadError(path.name, "header", f"neither Mean nor Sum is reported, only {names}")
    merge, unit, errors = _STATISTICS[reported], header.unit, None
    if header.quantity in _AVERAGES:
        merge = MergeClass.MEAN
    if merge is MergeClass.PER_PRIMARY:
        unit += "/prim"
    if _DEVIATION in statistics and histories > 0 and merge is not MergeClass.MEAN:
        root = math.sqrt(histories)
        errors = statistics[_DEVIATION] * (root if reported == "Sum" else 1.0 / root)
    bins = (*header.mesh, *((header.differential,) if header.differential else ()))
    metadata = {"dettyp": header.quantity, "title": header.scorer}
    if header.filters:
        metadata["filters"] = "; ".join(header.filters)
    name = header.scorer or header.quantity
    kept = tuple(announced.axis for announced in bins if announced.n > 1)
    return Page(0, name, unit, merge, kept, statistics[reported], errors, metadata=metadata)


def _histories(path: Path, parameters: str) -> int:
    """Return the histories by the parameter file beside the results; 0 if unknown.

    Files that it includes are read too.
    """
    folder = path.parent.resolve()

    def read_beside(name: str) -> str | None:
        beside = folder / name
        try:
            if PurePath(name).name != name or beside.resolve().parent != folder:
                return None
            return read_regular(beside, _LARGEST_PARAMETERS)
        except (OSError, ValueError):
            return None

    main = PurePath(parameters).name
    return histories(gathered(main, read_beside)) if main else 0
