"""Read the result files of a finished task; damaged ones are refused."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.errors import ReadError
from kerma_engines.geant4.transport.result_file import MAGIC
from kerma_engines.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kerma_engines.results.estimators import FloatArray

START = len(MAGIC) + 4
_MAX_HEADER = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One result file. Arrays are C order over ``shape`` and differential bins."""

    mesh: str
    primaries: int
    code: str
    shape: tuple[int, int, int]
    sums: Mapping[str, FloatArray]
    squares: Mapping[str, FloatArray]


def read_scored(path: Path) -> Scored:
    """Read and check a result file. Raises ReadError naming the byte where it is wrong."""
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise ReadError(path.name, "byte 0", error.strerror or "can't be read") from error

    def fail(offset: int, reason: str) -> ReadError:
        return ReadError(path.name, f"byte {offset}", reason)

    if content[: len(MAGIC)] != MAGIC:
        raise fail(0, "this is no result file of a Geant4 task")
    if len(content) < START + 4:
        raise fail(len(content), "the file ends within its header")
    (size,) = struct.unpack_from("<I", content, len(MAGIC))
    if size > _MAX_HEADER or START + size + 4 > len(content):
        raise fail(len(MAGIC), f"a header of {size} bytes does not fit the file")
    (checksum,) = struct.unpack_from("<I", content, len(content) - 4)
    try:
        header = json.loads(content[START : START + size])
        mesh, primaries, shape, names, fine = _header(header)
        code = str(header["code"])
    except (ValueError, KeyError, TypeError) as error:
        raise fail(START, f"the header is not readable: {error}") from error
    bins = math.prod(shape)
    expected = START + size + 16 * bins * sum(fine) + 4
    if len(content) != expected:
        raise fail(min(len(content), expected), f"{len(content)} bytes instead of {expected}")
    if zlib.crc32(memoryview(content)[:-4]) != checksum:
        raise fail(len(content) - 4, "the checksum does not match: the file is damaged")
    sums, squares = {}, {}
    offset = START + size
    for name, cells in zip(names, (bins * n for n in fine), strict=True):
        sums[name] = np.frombuffer(content, "<f8", cells, offset)
        squares[name] = np.frombuffer(content, "<f8", cells, offset + 8 * cells)
        offset += 16 * cells
    return Scored(mesh, primaries, code, shape, sums, squares)


def _header(header: Any) -> tuple[str, int, tuple[int, int, int], list[str], list[int]]:
    x, y, z = (int(n) for n in header["shape"])
    primaries, names = int(header["primaries"]), [str(name) for name in header["scorers"]]
    fine = [int(n) for n in header["fine"]]
    if min(x, y, z, primaries, *fine) < 1 or len({*names}) != len(names) or len(fine) != len(names):
        raise ValueError("sizes and primaries must be positive, names different")
    return str(header["mesh"]), primaries, (x, y, z), names, fine
