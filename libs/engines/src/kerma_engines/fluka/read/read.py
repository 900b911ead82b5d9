"""Read FLUKA results: the header that all detector files share, and all files of a task.

Files are Fortran records, little endian. The first has 80 characters of title, 32 of date and time,
float32 total weight, and in newer versions int32 primaries and int32 batches, in between int32
thousands of millions of primaries.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from kerma_engines.adapter.outputs import read_outputs
from kerma_engines.errors import ReadError
from kerma_engines.fluka.read.binned import HEADER, read_binned
from kerma_engines.fluka.read.pages import made
from kerma_engines.fluka.read.spectra import BOUNDARY, NUCLEI, TRACK, read_spectra
from kerma_engines.results.binary import BinaryFile, record
from kerma_engines.results.estimators import Estimator

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet

_HEADER_SIZES = (116, 120, 124, 128)
_UNIT = re.compile(r"_fort\.(?P<unit>[0-9]+)$")


def is_fluka(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is from FLUKA's detectors."""
    return len(head) >= 4 and struct.unpack_from("<i", head)[0] in _HEADER_SIZES


def core_name(name: str) -> str:
    """Return the name of an output: its unit number, or the file name when it has none."""
    found = _UNIT.search(name)
    return found["unit"] if found else name


def read_fluka_file(path: Path) -> Estimator:
    """Read the estimator in a detector file of any kind. Raises ReadError."""
    with BinaryFile(path) as file:
        head = record(file, "header")
        if len(head) not in _HEADER_SIZES:
            raise file.error(f"a header of {len(head)} bytes", 0)
        primaries = _primaries(head)
        evolution = primaries <= 0 and len(head) >= 120
        first = record(file, "detector")
        if evolution:
            first = record(file, "detector")  # the first held the irradiation profile
        if len(first) == HEADER:
            pages = read_binned(file, first)
        elif len(first) in (TRACK, BOUNDARY, NUCLEI):
            pages = read_spectra(file, first, evolution=evolution)
        else:
            raise file.error(f"a detector record of {len(first)} bytes is of no known kind")
        metadata = {
            "title": head[:80].decode("ascii", "replace").strip(),
            "time": head[80:112].decode("ascii", "replace").strip(),
            "file_format": "fluka_binary",
        }
        return Estimator(core_name(path.name), path.name, abs(primaries), tuple(pages), metadata)


def read(directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
    """Read the estimators of a finished task, in the order of the output map. Raises ReadError.

    An output's file is named by its unit: ``21``, or ``fl_sim001_fort.21``.
    """
    files = {core_name(path.name): path for path in sorted(directory.glob("*_fort.[0-9]*"))}
    pages = inputs.options.get("pages", {})

    def read_unit(unit: int) -> Estimator:
        if str(unit) not in files:
            raise ReadError(str(unit), "work folder", "the results of the unit are missing")
        return read_fluka_file(files[str(unit)])

    def read_file(path: Path) -> Estimator:
        known = pages.get(core_name(path.name))
        return made(known, read_unit) if known else read_fluka_file(path)

    return read_outputs(inputs, lambda file: files.get(core_name(file)), files.values(), read_file)


def _primaries(head: bytes) -> int:
    if len(head) == 116:
        (weight,) = struct.unpack_from("<f", head, 112)
        return int(weight) if 0 < weight < 1e18 else 0
    (primaries,) = struct.unpack_from("<i", head, 116)
    if len(head) == 128:
        (milliards,) = struct.unpack_from("<i", head, 120)
        primaries += max(milliards, 0) * 1_000_000_000
    return int(primaries)
