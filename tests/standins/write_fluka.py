"""Write FLUKA's detector files for tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from standins.write_shieldhit import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def header(primaries: int, size: int = 128, title: str = "stand-in, not an engine") -> bytes:
    """Return the first record of every file, in one of its four sizes."""
    data = struct.pack("<80s32sf", title.encode().ljust(80), b"DATE: none".ljust(32), primaries)
    milliards, rest = divmod(abs(primaries), 10**9)
    signed = -rest if primaries < 0 else rest
    data += {
        116: b"",
        120: struct.pack("<i", signed),
        124: struct.pack("<ii", signed, 1),
        128: struct.pack("<iii", signed, milliards, 1),
    }[size]
    return record(data)


@dataclass
class Binning:
    """A USRBIN detector: mesh type, score, per axis (low, high, bins)."""

    values: Floats
    axes: Sequence[tuple[float, float, int]]
    kind: int = 10
    score: int = 208
    name: str = "bins"
    relative: Floats | None = None


def usrbin(detectors: Sequence[Binning], primaries: int) -> bytes:
    """Return a USRBIN file; with statistics when detectors have relative errors."""
    parts = [header(primaries)]
    for number, detector in enumerate(detectors, 1):
        data = struct.pack(
            "<i10sii", number, detector.name.encode().ljust(10), detector.kind, detector.score
        )
        for low, high, n in detector.axes:
            data += struct.pack("<ffif", low, high, n, (high - low) / n)
        parts += [record(data + struct.pack("<ifff", 0, 0.0, 0.0, 1e30)), floats(detector.values)]
    if any(detector.relative is not None for detector in detectors):
        parts.append(statistics(primaries))
        parts += [floats(d.relative) for d in detectors if d.relative is not None]
    return b"".join(parts)


def floats(values: Floats) -> bytes:
    """Return a record of float32."""
    return record(np.asarray(values).astype("<f4").tobytes())


def statistics(primaries: int) -> bytes:
    """Return the record before the errors."""
    return record(struct.pack("<10si", b"STATISTICS", primaries))


def groups(edges: Sequence[float]) -> bytes:
    """Return the record of neutron group edges, GeV, descending."""
    return record(struct.pack("<i", len(edges) - 1) + np.array(edges, "<f4").tobytes())


@dataclass
class Track:
    """A USRTRACK detector: energy (low, high, bins), GeV; ``kind`` -1 is logarithmic in energy."""

    values: Floats
    energy: tuple[float, float, int]
    kind: int = -1
    code: int = 8
    group_edges: Sequence[float] = ()
    name: str = "track"
    volume: float = 1.0


def usrtracks(detectors: Sequence[Track], primaries: int) -> bytes:
    """Return a USRTRACK file; groups of low-energy neutrons follow the energy
    bins in ``values``.
    """
    parts = [header(primaries)]
    for number, one in enumerate(detectors, 1):
        low, high, n = one.energy
        data = struct.pack(
            "<i10siiififfif",
            *(number, one.name.encode().ljust(10), one.kind, one.code, 2, one.volume),
            *(bool(one.group_edges), low, high, n, 0.0),
        )
        parts.append(record(data))
        if one.group_edges:
            parts.append(groups(one.group_edges))
        parts.append(floats(one.values))
    return b"".join(parts)


def usrtrack(
    values: Floats,
    energy: tuple[float, float, int],
    primaries: int,
    *,
    kind: int = -1,
    code: int = 8,
    group_edges: Sequence[float] = (),
) -> bytes:
    """Return a USRTRACK file of one detector."""
    return usrtracks([Track(values, energy, kind, code, group_edges)], primaries)


def usrbdx(
    values: Floats,
    energy: tuple[float, float, int],
    angle: tuple[float, float, int],
    primaries: int,
    *,
    kind: int = -1,
    code: int = 1,
    group_edges: Sequence[float] = (),
    relative: Floats | None = None,
) -> bytes:
    """Return a USRBDX file of one detector; kinds -1, 1, -2, 2 as WHAT(1) of its card."""
    data = struct.pack(
        "<i10siiiifiiiffifffif",
        *(1, b"cross".ljust(10), kind, code, 2, 3, 1.0, 1, 1, bool(group_edges)),
        *(*energy, 0.0, *angle, 0.0),
    )
    parts = [header(primaries), record(data)]
    if group_edges:
        parts.append(groups(group_edges))
    parts.append(floats(values))
    if relative is not None:
        bins = np.zeros(energy[2] + max(len(group_edges) - 1, 0))
        parts += [statistics(primaries), floats(np.zeros(2)), floats(bins), *(floats(bins),) * 4]
        parts.append(floats(relative))
    return b"".join(parts)


def resnuclei(
    values: Floats,
    charges: int,
    excesses: int,
    lowest: int,
    primaries: int,
    *,
    relative: Floats | None = None,
    evolution: bool = False,
    isomers: bool = False,
) -> bytes:
    """Return a RESNUCLEI file of one detector, values by charge (fastest) and neutron excess."""
    parts = [header(-primaries if evolution else primaries)]
    if evolution:
        parts.append(record(struct.pack("<iff", 1, 3600.0, 1e9)))
    name = b"nuclei".ljust(10)
    parts.append(record(struct.pack("<i10siifiii", 1, name, 3, 5, 1.0, excesses, charges, lowest)))
    if evolution:
        parts.append(floats(np.array([60.0])))
    parts.append(floats(values))
    if isomers:
        parts += [record(struct.pack("<10si", b"ISOMERS:", 2)), floats(np.zeros(2))]
    if relative is not None:
        parts += [statistics(primaries), *(floats(np.zeros(3)),) * 5, floats(relative)]
    if relative is not None and isomers:
        parts.append(floats(np.zeros(2)))
    return b"".join(parts)
