"""The token stream of SHIELD-HIT12A's BDO files, formats of 2016 and 2019.

A header of 24 bytes (``xSH12A``, byte order mark ``II``, 16 bytes of version), then tokens to the
end: uint64 tag, 8 bytes of type text in numpy's style, uint64 count, payload. Little endian.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kerma_engines.results.binary import BinaryFile
    from kerma_engines.results.estimators import FloatArray

MAGIC = b"xSH12A"
DATA = 0xDDBB

_TYPE = re.compile(r"<?[if][48]|<?u8|[|]?S(?:[1-9][0-9]{0,4})")
_SMALL = 64
"""The most numbers in a token, except data and text."""


class DataBlock:
    """The numbers of a data token, read on demand, and only until the next token is requested."""

    def __init__(self, file: BinaryFile, kind: str, size: int) -> None:
        self.file, self.kind, self.size = file, kind, size
        self.bytes = size * np.dtype(kind).itemsize

    def read(self, divisor: float = 1.0) -> FloatArray:
        """Read the numbers over ``divisor``, as float64."""
        with np.errstate(invalid="ignore"):  # a signalling NaN is read like any other
            return self.file.quotients(self.kind, self.size, divisor, "data")


class Token(NamedTuple):
    """One token at ``offset``; ``value`` is text, a one-dimensional array, or data."""

    tag: int
    value: str | NDArray[Any] | DataBlock
    offset: int


def read_header(file: BinaryFile) -> None:
    """Read the file's header. Raises ReadError unless it is a little-endian BDO file."""
    head = file.take(24, "header")
    if head[:6] != MAGIC:
        raise file.error("not a BDO file", 0)
    if head[6:8] != b"II":
        raise file.error(f"byte order {head[6:8]!r} is not supported", 6)


def read_tokens(file: BinaryFile) -> Iterator[Token]:
    """Yield all tokens, in order. Raises ReadError at the first broken one."""
    while file.remaining:
        start = file.offset
        tag, kind, count = file.unpack("<Q8sQ", "token")
        text = kind.rstrip(b"\0 ").decode("ascii", "replace")
        if not _TYPE.fullmatch(text):
            raise file.error(f"token {tag:#06x} has the unknown type {text!r}", start)
        if "S" in text:
            size = int(text.lstrip("|S"))
            raw = file.take(size * count, f"token {tag:#06x}")
            yield Token(tag, raw[:size].rstrip(b"\0").decode("utf-8", "replace").strip(), start)
        elif tag == DATA or count > _SMALL:
            here, block = file.offset, DataBlock(file, text, count)
            if tag == DATA:
                yield Token(tag, block, start)
            file.skip(here + block.bytes - file.offset, f"token {tag:#06x}")
        else:
            yield Token(tag, file.numbers(text, count, f"token {tag:#06x}"), start)


class Tags:
    """The latest value of each tag read so far."""

    def __init__(self, file: BinaryFile, wanted: frozenset[int]) -> None:
        self.file = file
        self.wanted = wanted
        self.values: dict[int, str | NDArray[Any]] = {}

    def put(self, token: Token) -> None:
        """Keep the token if its tag is wanted."""
        if token.tag in self.wanted and not isinstance(token.value, DataBlock):
            self.values[token.tag] = token.value

    def clear(self) -> None:
        """Forget all tags."""
        self.values.clear()

    def text(self, tag: int) -> str:
        """Return a text, empty when absent."""
        value = self.values.get(tag, "")
        return value if isinstance(value, str) else ""

    def floats(self, tag: int, count: int, what: str) -> list[float]:
        """Return exactly ``count`` numbers. Raises ReadError when there are fewer."""
        return [float(value) for value in self._array(tag, count, what)]

    def integers(self, tag: int, count: int, what: str) -> list[int]:
        """Return exactly ``count`` integers. Raises ReadError for fewer, or for other types."""
        array = self._array(tag, count, what)
        if not np.all(np.isfinite(array)):
            raise self.file.error(f"{what} (tag {tag:#06x}) is not a number")
        return [int(value) for value in array]

    def integer(self, tag: int, what: str, default: int | None = None) -> int:
        """Return one integer, or ``default``. Raises ReadError when absent without default."""
        if tag not in self.values and default is not None:
            return default
        return self.integers(tag, 1, what)[0]

    def number(self, tag: int, default: float) -> float:
        """Return one number, or ``default``."""
        return self.floats(tag, 1, "number")[0] if tag in self.values else default

    def _array(self, tag: int, count: int, what: str) -> NDArray[Any]:
        value = self.values.get(tag)
        if value is None or isinstance(value, str) or value.size < count:
            raise self.file.error(f"{what} (tag {tag:#06x}) is missing or too short")
        return value[:count]
