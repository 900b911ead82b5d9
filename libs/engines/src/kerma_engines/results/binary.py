"""Read untrusted binary result files: every count is checked before memory is allocated."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kerma_engines.errors import ReadError
from kerma_engines.regular import open_regular
from kerma_engines.results.parallel import each_block

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from kerma_engines.results.estimators import FloatArray

_SHRUNK = "the file became shorter while it was read"


class BinaryFile:
    """A file read from front to back. Missing bytes raise ReadError with the offset."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise ReadError(path.name, "open", error.strerror or "failed") from error
        self.size = self._file.seek(0, 2)
        self._file.seek(0)
        self.offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def remaining(self) -> int:
        """The number of bytes not read yet."""
        return self.size - self.offset

    def error(self, reason: str, offset: int | None = None) -> ReadError:
        """Return a ReadError at ``offset``, by default the current one."""
        return ReadError(self.name, f"byte {self.offset if offset is None else offset}", reason)

    def take(self, count: int, what: str) -> bytes:
        """Return the next ``count`` bytes."""
        self._need(count, what)
        data = self._read(count)
        self.offset += count
        return data

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        """Return the next values of a ``struct`` layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def numbers(self, dtype: str, count: int, what: str) -> NDArray[Any]:
        """Read the next ``count`` numbers straight into an array."""
        self._need(count * np.dtype(dtype).itemsize, what)
        array = np.fromfile(self._file, dtype, count)
        if array.size != count:
            raise self.error(_SHRUNK)
        self.offset += array.nbytes
        return array

    def quotients(self, dtype: str, count: int, divisor: float, what: str) -> NDArray[np.float64]:
        """Return the next ``count`` numbers over ``divisor``; dividing takes longer than reading."""
        kind = np.dtype(dtype)
        self._need(count * kind.itemsize, what)
        values = np.empty(count)

        def divide(part: slice, scratch: FloatArray, _: FloatArray) -> None:
            stored = scratch.view(kind)[: part.stop - part.start]
            place = self.offset + part.start * kind.itemsize
            if os.preadv(self._file.fileno(), [stored.data], place) != stored.nbytes:
                raise self.error(_SHRUNK)
            np.divide(stored, divisor, out=values[part])

        each_block(count, divide)
        self.skip(count * kind.itemsize, what)
        return values

    def skip(self, count: int, what: str) -> None:
        """Skip ``count`` bytes."""
        self._need(count, what)
        self._file.seek(count, 1)
        self.offset += count

    def rewind(self, offset: int) -> None:
        """Continue reading at ``offset``."""
        self._file.seek(offset)
        self.offset = offset

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise self.error(_SHRUNK)
        return data

    def _need(self, count: int, what: str) -> None:
        if count < 0 or count > self.remaining:
            raise self.error(f"{what}: {count} bytes announced, {self.remaining} left")


def record_length(file: BinaryFile, what: str) -> int:
    """Read the length before a Fortran record (int32 length, payload, the same length as int32)."""
    (length,) = file.unpack("<i", what)
    if not 0 <= length <= file.remaining - 4:
        raise file.error(f"{what}: a record of {length} bytes in {file.remaining}", file.offset - 4)
    return int(length)


def record_end(file: BinaryFile, length: int, what: str) -> None:
    """Check the length after a Fortran record."""
    (repeated,) = file.unpack("<i", what)
    if repeated != length:
        raise file.error(f"{what}: record of {length} bytes ends with {repeated}", file.offset - 4)


def record(file: BinaryFile, what: str, limit: int = 1 << 16) -> bytes:
    """Return the next Fortran record of at most ``limit`` bytes."""
    length = record_length(file, what)
    if length > limit:
        raise file.error(f"{what}: a record of {length} bytes is not one", file.offset - 4)
    data = file.take(length, what)
    record_end(file, length, what)
    return data


def number_record(file: BinaryFile, dtype: str, count: int, what: str) -> NDArray[np.float64]:
    """Return the next Fortran record as float64; it must hold ``count`` numbers of ``dtype``."""
    length = record_length(file, what)
    if length != count * np.dtype(dtype).itemsize:
        raise file.error(f"{what}: {count} bins in a record of {length} bytes", file.offset - 4)
    with np.errstate(invalid="ignore"):  # a signalling NaN is read like any other
        array = file.numbers(dtype, count, what).astype(np.float64, copy=False)
    record_end(file, length, what)
    return array
