"""Write SHIELD-HIT12A's result formats for tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass
class Mesh:
    """A detector geometry; negative numbers of bins are logarithmic."""

    kind: str = "MSH"
    name: str = "Mesh"
    start: Sequence[float] = (-1.0, -1.0, 0.0)
    stop: Sequence[float] = (1.0, 1.0, 20.0)
    bins: Sequence[int] = (1, 1, 10)
    units: str = "cm;cm;cm"


@dataclass
class Scored:
    """One page: detector type number, normalisation class, unit, stored (not divided) values."""

    type: int
    normalisation: int
    unit: str
    values: NDArray[np.float64]
    diff: list[tuple[float, float, int, bool]] = field(default_factory=list)
    """Differential axes: start, stop, bins, logarithmic."""
    diff_units: str = ""
    diff_types: Sequence[int] = ()
    filter_name: str = ""


def token(
    tag: int, value: str | float | Sequence[float] | Sequence[int] | NDArray[np.float64]
) -> bytes:
    """Return a BDO token: text padded to eights, integers as <i8, other numbers as <f8."""
    if isinstance(value, str):
        text = value.encode()
        width = max(8, -(-len(text) // 8) * 8)
        return struct.pack("<Q8sQ", tag, f"S{width}".encode(), 1) + text.ljust(width, b"\0")
    array = np.atleast_1d(np.asarray(value))
    kind = "<i8" if array.dtype.kind == "i" else "<f8"
    return struct.pack("<Q8sQ", tag, kind.encode(), array.size) + array.astype(kind).tobytes()


def _header(version: str) -> bytes:
    return struct.pack("<6s2s16s", b"xSH12A", b"II", version.encode())


def bdo2019(mesh: Mesh, pages: Sequence[Scored], primaries: int, rescale: float = 1.0) -> bytes:
    """Return a file in the format of 2019."""
    parts = [
        _header("1.1"),
        token(0x00, "stand-in, not an engine"),
        token(0x05, 2),
        token(0xAA00, primaries),
        token(0xE000, mesh.kind),
        token(0xE001, mesh.name),
        token(0xE002, [float(v) for v in mesh.start]),
        token(0xE003, [float(v) for v in mesh.stop]),
        token(0xE004, list(mesh.bins)),
        token(0xE00A, [10, 10, 10]),
        token(0xE009, mesh.units),
        token(0xEE03, float(rescale)),
        token(0xEE02, len(pages)),
    ]
    for number, page in enumerate(pages):
        parts += [token(0xFFCD, "***    NEW PAGE    ***"), *_page(number, page)]
    return b"".join(parts)


def _page(number: int, page: Scored) -> list[bytes]:
    parts = [token(0xDD30, page.type), token(0xDD31, number), token(0xDD32, page.normalisation)]
    if page.diff:
        parts += [
            token(0xDDD0, [-1 if log else 1 for *_, log in page.diff]),
            token(0xDDD1, list(page.diff_types)),
            token(0xDDD2, [start for start, *_ in page.diff]),
            token(0xDDD3, [stop for _, stop, *_ in page.diff]),
            token(0xDDD4, [n for _, _, n, _ in page.diff]),
            token(0xDDD5, f"{page.unit};{page.diff_units}"),
        ]
    if page.filter_name:
        parts.append(token(0xDDF0, page.filter_name))
    return [*parts, token(0xDDBC, page.unit), token(0xDDBB, page.values.astype(np.float64))]


def bdo2016(mesh: Mesh, page: Scored, primaries: int, first_zone: int = 1) -> bytes:
    """Return a file in the format of 2016, which has one page."""
    parts = [
        _header("0.6"),
        token(0x00, "stand-in, not an engine"),
        token(0xAA00, primaries),
        token(0xDD00, mesh.kind),
        token(0xDD01, list(mesh.bins)),
        token(0xDD03, page.type),
        token(0xDD09, first_zone),
        token(0xDD0C, [float(v) for v in mesh.start]),
        token(0xDD0D, [float(v) for v in mesh.stop]),
    ]
    for start, stop, n, log in page.diff:
        parts += [
            token(0xDD07, -n if log else n),
            token(0xDD08, page.diff_types[0]),
            token(0xDD0E, start),
            token(0xDD0F, stop),
        ]
    return b"".join([*parts, token(0xDDBB, page.values.astype(np.float64))])


def record(data: bytes) -> bytes:
    """Return a Fortran record."""
    return struct.pack("<i", len(data)) + data + struct.pack("<i", len(data))


def bin2010(mesh: Mesh, page: Scored, primaries: int, first_zone: int = 1) -> bytes:
    """Return a file in the format of 2010: Fortran records."""
    diff = page.diff[0] if page.diff else (0.0, 0.0, -1, False)
    bins = -diff[2] if diff[3] else diff[2]
    kind = page.diff_types[0] if page.diff else -1
    det = [*mesh.start, *mesh.stop, diff[0], diff[1]]
    idet = [*mesh.bins, -1, page.type, -1, -1, -1, bins, kind, first_zone]
    parts = [mesh.kind.encode().ljust(10), struct.pack("<i", primaries)]
    if mesh.kind == "VOXSCORE":
        parts += [struct.pack("<f", 2.0), struct.pack("<q", 1000)]
    parts += [
        np.array(det, "<f8").tobytes(),
        np.array(idet, "<i4").tobytes(),
        page.values.astype("<f8").tobytes(),
    ]
    return b"".join(map(record, parts))


def write(path: Path, data: bytes) -> Path:
    """Write and return ``path``."""
    path.write_bytes(data)
    return path
