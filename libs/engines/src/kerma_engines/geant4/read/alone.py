"""Standalone Geant4 results: Kerma's result files, and dumps of Geant4's scoring meshes.

Neither contains edges of bins. They come from a macro beside the file (``run.mac``, or the only
``*.mac``); without one, axes count bins. Kerma's files contain their primaries. Dumps
(``/score/dumpQuantityToFile``, ``/score/dumpAllQuantitiesToFile``) are text: a line with the name
of the mesh, then for each scorer its name, a heading with the names of the bin indices and the
unit, and rows ``i,j,k,total,total of squares,entries``, the last index fastest. Their primaries are
those of the only ``/run/beamOn`` of the macro.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

import numpy as np

from kerma_engines.errors import InvalidInput, ReadError
from kerma_engines.geant4.macro import macro
from kerma_engines.geant4.read import pages
from kerma_engines.geant4.read.scored import Scored, read_scored
from kerma_engines.geant4.transport.result_file import MAGIC, NO_UNIT
from kerma_engines.regular import open_text, read_regular
from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from kerma_engines.geant4.scorers.meshes import Mesh
    from kerma_engines.results.estimators import FloatArray

_MESH = "# mesh name:"
_SCORER = "# primitive scorer name:"
_HEADING = re.compile(r"# *(\w+), *(\w+), *(\w+), *total\(value\) *(?:\[([^\]]*)\])?, *total\(val")
_COLUMNS = 6
_LONGEST_LINE = 4096
_LARGEST_MACRO = 4 << 20
_BEAM_ON = re.compile(r"^[ \t]*/run/beamOn[ \t]+(\d{1,18})", re.MULTILINE)
_COMPANIONS = ("/weight", "/cross")
"""Suffixes in the names of sums that belong to an average."""

WITHOUT_MACRO = "axes count bins and units are open: the macro is not beside the file"


def is_result(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a result of a Geant4 task."""
    return head.startswith(MAGIC)


def is_dump(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a dump of a scoring mesh."""
    return head.removeprefix(codecs.BOM_UTF8).startswith(_MESH.encode())


def read_result_file(path: Path) -> Estimator:
    """Read the estimator in a result file of a Geant4 task. Raises ReadError."""
    scored = read_scored(path)
    mesh = _meshes(path).get(scored.mesh)
    if mesh is not None and _fits(mesh, scored):
        return pages.estimator_of(scored, mesh, path.name)
    found = tuple(_plain_pages(scored))
    metadata = {"geo_name": scored.mesh, "mc_code_version": scored.code, "note": WITHOUT_MACRO}
    return Estimator(scored.mesh, path.name, scored.primaries, found, metadata)


def read_dump_file(path: Path) -> Estimator:
    """Read the estimator in a dump, named by its mesh, and by its scorer if there is only one.

    Without a macro that gives the primaries, pages are sums over the run. Raises ReadError.
    """
    try:
        with open_text(path) as file:
            name, sections = _sections(path, file)
    except OSError as error:
        raise ReadError(path.name, "open", error.strerror or "failed") from error
    primaries = _primaries(path)
    mesh = _meshes(path).get(name)
    found = []
    for number, section in enumerate(sections):
        scored = Scored(
            name,
            max(primaries, 1),
            "",
            section.shape,
            {section.scorer: section.sums},
            {section.scorer: section.squares},
        )
        if mesh is not None and _fits(mesh, scored):
            (page,) = pages.estimator_of(scored, mesh, path.name).pages
        else:
            (page,) = _plain_pages(scored, section.unit)
        if not primaries:
            unit = page.unit.removesuffix("/prim")
            page = replace(page, merge=MergeClass.SUM, unit=unit, errors=None)
            page = replace(page, sums=None, squares=None)
        found.append(replace(page, number=number))
    metadata = {"geo_name": name, "mc_code_version": "Geant4", "file_format": "geant4_dump"}
    if mesh is None:
        metadata["note"] = WITHOUT_MACRO
    label = name if len(found) > 1 else f"{name}_{sections[0].scorer}"
    return Estimator(label, path.name, primaries, tuple(found), metadata)


@dataclass(frozen=True, slots=True)
class _Section:
    """One scorer of a dump; arrays in C order over ``shape``."""

    scorer: str
    unit: str
    shape: tuple[int, int, int]
    sums: FloatArray
    squares: FloatArray


def _sections(path: Path, file: TextIO) -> tuple[str, list[_Section]]:
    lines = _numbered(path, file)
    number, line = next(lines)
    name = line.removeprefix(_MESH).strip()
    found: list[_Section] = []
    number, line = next(lines, (number + 1, ""))
    while line.startswith(_SCORER):
        scorer = line.removeprefix(_SCORER).strip()
        number, line = next(lines, (number + 1, ""))
        if line.startswith("# multiplied factor"):
            number, line = next(lines, (number + 1, ""))
        heading = _HEADING.match(line)
        if heading is None:
            raise ReadError(path.name, f"line {number}", "no heading of a dump's columns")
        if scorer in {known.scorer for known in found}:
            raise ReadError(path.name, f"line {number}", f"scorer {scorer[:64]!r} comes twice")
        rows = _Rows(path, lines, number)
        table = rows.table()
        unit = "" if heading[4] in {None, NO_UNIT} else heading[4]
        found.append(_section(path, scorer, unit, table, rows.first))
        number, line = rows.number, rows.next_line
    if line or not found:
        raise ReadError(path.name, f"line {number}", "neither a scorer nor rows of one")
    return name, found


def _numbered(path: Path, file: TextIO) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise ReadError(path.name, f"line {number}", "too long for a dump")
        yield number, line.rstrip("\r\n")


class _Rows:
    """The rows of one scorer, and the line after them."""

    def __init__(self, path: Path, lines: Iterator[tuple[int, str]], number: int) -> None:
        self.path = path
        self.lines = lines
        self.number = number
        self.first = number + 1
        self.next_line = ""

    def table(self) -> NDArray[np.float64]:
        """Return all rows, shape (rows, columns)."""
        try:
            table = np.loadtxt(self._rows(), delimiter=",", comments=None, ndmin=2)
        except ValueError as error:
            raise ReadError(self.path.name, f"line {self.number}", str(error)[:100]) from error
        return table

    def _rows(self) -> Iterator[str]:
        rows = 0
        for number, line in self.lines:
            self.number = number
            if line.startswith("#"):
                self.next_line = line
                break
            if line.count(",") != _COLUMNS - 1:
                reason = f"{line.count(',') + 1} columns instead of {_COLUMNS}"
                raise ReadError(self.path.name, f"line {number}", reason)
            rows += 1
            yield line
        if not rows:
            raise ReadError(self.path.name, f"line {self.number}", "no rows after the heading")


def _section(
    path: Path, scorer: str, unit: str, table: NDArray[np.float64], first: int
) -> _Section:
    last = table[-1, :3]
    where = f"line {first + len(table) - 1}"
    if not np.all((last >= 0) & (last < len(table)) & (last == np.floor(last))):
        raise ReadError(path.name, where, "numbers of bins are none")
    x, y, z = (int(number) + 1 for number in last)
    if x * y * z != len(table):
        raise ReadError(path.name, where, f"{len(table)} rows for {x} x {y} x {z} bins")
    for axis, numbers in enumerate(np.unravel_index(np.arange(len(table)), (x, y, z))):
        wrong = np.flatnonzero(table[:, axis] != numbers)
        if wrong.size:
            place = f"line {first + int(wrong[0])}"
            raise ReadError(path.name, place, "bin numbers are out of order")
    return _Section(scorer, unit, (x, y, z), table[:, 3].copy(), table[:, 4].copy())


def _plain_pages(scored: Scored, unit: str = "") -> Iterator[Page]:
    """Return a page per scorer over bin indices, last axis of the file first."""
    names = [name for name in scored.sums if not name.endswith(_COMPANIONS)]
    for number, name in enumerate(names):
        cells = scored.sums[name].size // math.prod(scored.shape)
        shape = (*scored.shape, cells)
        labels = ("first", "second", "third", "differential")
        axes = tuple(
            Axis.linear(f"Number of bin, {label}", "", -0.5, n - 0.5, n)
            for label, n in zip(labels, shape, strict=True)
            if n > 1
        )
        yield pages.plain_page(scored, name, shape, axes, pages.per_primary(unit), number)


def _fits(mesh: Mesh, scored: Scored) -> bool:
    known = {scorer.name for scorer in mesh.scorers}
    named = {name for name in scored.sums if not name.endswith(_COMPANIONS)}
    copies = mesh.shape == "volume" and scored.shape[1:] == (1, 1)
    return (
        copies or (mesh.shape != "volume" and mesh.dump_shape == scored.shape)
    ) and named <= known


def _meshes(path: Path) -> Mapping[str, Mesh]:
    """Return meshes of the macro beside a file; none without one that Kerma understands."""
    try:
        parsed = macro.parse(_macro(path), file="macro", particles=macro.FULL_PARTICLES)
    except InvalidInput:
        return {}
    return {mesh.name: mesh for mesh in parsed.meshes}


def _primaries(path: Path) -> int:
    """Return the primaries of the only run in the macro beside a file; 0 when unknown."""
    runs = _BEAM_ON.findall(_macro(path))
    return int(runs[0]) if len(runs) == 1 else 0


def _macro(path: Path) -> str:
    """Return the text of the macro beside a file; "" without one."""
    beside = path.parent / "run.mac"
    try:
        if not beside.is_file():
            (beside,) = path.parent.glob("*.mac")
        return read_regular(beside, _LARGEST_MACRO) or ""
    except (OSError, ValueError):
        return ""
