"""The file of one scoring mesh: sums and sums of squares per bin, with a checksum.

Layout, little-endian: magic ``KERMAG4\\n`` (8 bytes), header length (uint32), header (UTF-8 JSON:
``mesh``, ``primaries``, ``code``: name and version of what ran, ``shape``, ``scorers``, and as
``fine`` for each scorer how many differential bins each bin of the mesh has), then for each scorer
the sums and the squares (float64, C order over ``shape`` and the differential bins), then CRC-32 of
all bytes before it (uint32). Nothing in it depends on time or location, so equal runs give equal
files.

The writer runs inside the transport process and therefore imports nothing that loads slowly.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from pathlib import Path

MAGIC = b"KERMAG4\n"
SUFFIX = ".kg4"
NO_UNIT = "NoUnit"
"""The name that some of Geant4's scorers use in dumps for the unit of a count."""


def write(
    path: Path,
    *,
    mesh: str,
    primaries: int,
    code: str,
    shape: Sequence[int],
    scorers: Sequence[tuple[str, array[float], array[float]]],
) -> None:
    """Write one mesh: ``scorers`` gives (name, sums, squares), C order; ``code`` is what ran."""
    header = json.dumps(
        {
            "mesh": mesh,
            "primaries": primaries,
            "code": code,
            "shape": list(shape),
            "scorers": [name for name, _, _ in scorers],
            "fine": [len(sums) // math.prod(shape) for _, sums, _ in scorers],
        },
        sort_keys=True,
    ).encode()
    parts = [MAGIC, struct.pack("<I", len(header)), header]
    for _, sums, squares in scorers:
        parts += [_little_endian(sums), _little_endian(squares)]
    checksum = 0
    with path.open("wb") as file:
        for part in parts:
            checksum = zlib.crc32(part, checksum)
            file.write(part)
        file.write(struct.pack("<I", checksum))


def _little_endian(values: array[float]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()
