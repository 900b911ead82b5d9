"""``page.bin``: the arrays of one page as float64, in chunks that can be read alone.

Layout, little-endian::

    "KERMAPG1" | u32 size of header | header, UTF-8 JSON, sorted keys | chunks

The header names page, axes (with edges) and arrays (``values`` and, when known, ``errors``). An
array is flat in Fortran order, cut into chunks of 131 072 numbers (1 MiB); the chunk table gives
per chunk ``[offset, size, crc32, minimum, maximum]``: offset from the end of the header, crc32 of
the stored bytes, minimum and maximum null when no number is finite. A chunk is one zstd frame.
With ``shuffle`` its bytes are transposed first (all lowest bytes, then all next ...), which helps
smooth data and hurts sparse counts, so it is decided per array by trying the middle chunk, or the
first where the array is not held in memory.

A page that a cluster delivered has bin centres in place of edges: each axis of its header names the array
that holds them (``centres``), and ``merge`` is null.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import zstandard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kerma_engines.results.estimators import FloatArray, Page

MEDIA = "application/vnd.kerma.page"
CHUNK = 131_072
_MAGIC = b"KERMAPG1"
_LEVEL = 3
_FLOAT = np.dtype("<f8")


class DamagedPage(ValueError):  # noqa: N818 - says what the bytes are
    """The bytes are not a page, are truncated, or fail a checksum."""


def encode_page(page: Page) -> bytes:
    """Encode a page; equal pages give equal bytes."""
    arrays = {"values": page.values}
    if page.errors is not None:
        arrays["errors"] = page.errors
    payload: list[bytes] = []
    offset = 0
    tables: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        table, chunks = _encode_array(np.ascontiguousarray(array, dtype=_FLOAT), offset)
        tables[name] = table
        payload += chunks
        offset += sum(map(len, chunks))
    axes = [
        {"name": a.name, "unit": a.unit, "binning": a.binning.value, "edges": a.edges}
        for a in page.axes
    ]
    head = page_head(page.number, page.name, page.unit, page.shape, axes, tables, page.merge.value)
    return b"".join((head, *payload))


def _encode_array(array: FloatArray, offset: int) -> tuple[dict[str, Any], list[bytes]]:
    """Return the chunk table and chunks of a flat array whose first chunk starts at ``offset``."""
    parts = [array[i : i + CHUNK] for i in range(0, array.size, CHUNK)]
    coder = ArrayCoder(offset, parts[len(parts) // 2] if parts else None)
    chunks = [coder.add(part) for part in parts]
    return coder.table(), chunks


class ArrayCoder:
    """Encodes an array chunk by chunk. ``sample`` decides whether its bytes are transposed."""

    def __init__(self, offset: int, sample: FloatArray | None) -> None:
        self._codec = zstandard.ZstdCompressor(level=_LEVEL)
        self._shuffle = sample is not None and _shuffle_pays(self._codec, sample)
        self._rows: list[list[Any]] = []
        self._size = 0
        self.offset = offset

    def add(self, part: FloatArray) -> bytes:
        """Return the next chunk: ``CHUNK`` numbers, or fewer at the end."""
        chunk = self._codec.compress(_shuffled(part) if self._shuffle else part.tobytes())
        finite = part[np.isfinite(part)]
        extent = [float(finite.min()), float(finite.max())] if finite.size else [None, None]
        self._rows.append([self.offset, len(chunk), zlib.crc32(chunk), *extent])
        self._size += int(part.size)
        self.offset += len(chunk)
        return chunk

    def table(self) -> dict[str, Any]:
        """Return what the header says about the array."""
        return {"chunks": self._rows, "shuffle": self._shuffle, "size": self._size}


def page_head(
    number: int,
    name: str,
    unit: str,
    shape: Sequence[int],
    axes: Sequence[Mapping[str, Any]],
    tables: Mapping[str, Mapping[str, Any]],
    merge: str | None,
) -> bytes:
    """Return what precedes the chunks of a page."""
    header = orjson.dumps(
        {
            "arrays": tables,
            "axes": axes,
            "chunk": CHUNK,
            "codec": "zstd",
            "dtype": "<f8",
            "merge": merge,
            "name": name,
            "number": number,
            "order": "F",
            "shape": tuple(shape),
            "unit": unit,
        },
        option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY,
    )
    return b"".join((_MAGIC, struct.pack("<I", len(header)), header))


def _shuffle_pays(codec: zstandard.ZstdCompressor, part: FloatArray) -> bool:
    return len(codec.compress(_shuffled(part))) < len(codec.compress(part.tobytes()))


def _shuffled(part: FloatArray) -> bytes:
    return np.ascontiguousarray(part.view(np.uint8).reshape(-1, _FLOAT.itemsize).T).tobytes()


def _unshuffled(raw: bytes) -> bytes:
    lanes = np.frombuffer(raw, np.uint8).reshape(_FLOAT.itemsize, -1)
    return np.ascontiguousarray(lanes.T).tobytes()


@dataclass(frozen=True, slots=True)
class StoredPage:
    """The header of a page and the chunks behind it."""

    header: Mapping[str, Any]
    chunks: memoryview

    @property
    def arrays(self) -> tuple[str, ...]:
        """Return the names of the page's arrays."""
        return tuple(self.header["arrays"])

    def array(self, name: str, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return the numbers ``start`` to ``stop`` of an array, reading only the chunks they touch.

        Raises KeyError for an array that the page doesn't have, DamagedPage for damaged chunks.
        """
        entry = self.header["arrays"][name]
        stop = entry["size"] if stop is None else min(stop, entry["size"])
        if start >= stop:
            return np.empty(0, _FLOAT)
        first = start // CHUNK
        rows = entry["chunks"][first : (stop - 1) // CHUNK + 1]
        raw = b"".join(self._chunk(row, shuffled=entry["shuffle"]) for row in rows)
        found = np.frombuffer(raw, _FLOAT)[start - first * CHUNK : stop - first * CHUNK]
        if found.size != stop - start:
            raise DamagedPage(f"array {name} is shorter than its header says")
        return found

    def _chunk(self, row: list[Any], *, shuffled: bool) -> bytes:
        offset, size, crc = row[:3]
        stored = self.chunks[offset : offset + size]
        if len(stored) != size or zlib.crc32(stored) != crc:
            raise DamagedPage(f"the chunk at {offset} is damaged")
        raw = zstandard.ZstdDecompressor().decompress(stored)
        return _unshuffled(raw) if shuffled else raw


def open_page(body: bytes) -> StoredPage:
    """Open the bytes of ``encode_page``. Raises DamagedPage when the header is invalid."""
    if body[: len(_MAGIC)] != _MAGIC or len(body) < len(_MAGIC) + 4:
        raise DamagedPage("not the arrays of a page")
    start = len(_MAGIC) + 4
    (size,) = struct.unpack_from("<I", body, len(_MAGIC))
    try:
        header = orjson.loads(body[start : start + size])
    except orjson.JSONDecodeError as error:
        raise DamagedPage("the header is cut short") from error
    return StoredPage(header, memoryview(body)[start + size :])
