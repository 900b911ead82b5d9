"""A delivered page on its way to the blob store: its numbers pass through, a megabyte at a time."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from kerma_common.errors import Unavailable
from kerma_results.adapters.deliveries.client import GONE
from kerma_results.adapters.deliveries.messages import NUMBERS
from kerma_results.pages.arrays import CHUNK, ArrayCoder, page_head
from kerma_results.pages.delivered import axes_of, numbers_json

if TYPE_CHECKING:
    from kerma_results.adapters.deliveries.messages import DescribedPage

IN_MEMORY = 1 << 20
"""Bytes of either encoding that are held in memory; more goes to a file without a name."""
LEVEL = 1
"""A sender waits: a third of the time of the level of merged pages, for 4 % more bytes of numbers with
all their digits."""
_PIECE = 1 << 20
assert NUMBERS == CHUNK


class PageDraft:
    """Makes both encodings of a page: the JSON fragment and the arrays.

    ``text`` and ``numbers`` come in the order of ``pages.delivered.page_pieces``.
    """

    def __init__(self, page: DescribedPage) -> None:
        self._page = page
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._fragment = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - see ``close``
        self._chunks = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - see ``close``
        self._coders: dict[str, ArrayCoder] = {}
        self._head = b""
        self.crc32 = 0
        self.raw_size = 0

    def text(self, raw: bytes) -> None:
        """Take a piece of the JSON."""
        self.crc32 = zlib.crc32(raw, self.crc32)
        self.raw_size += len(raw)
        self._fragment.write(self._deflate.compress(raw))

    def numbers(self, array: str, raw: bytes, *, first: bool) -> None:
        """Take the next ``CHUNK`` numbers of an array, or its last. Raises Unavailable for
        axes that no honest process sends."""
        numbers = np.frombuffer(raw, "<f8")
        if not array.startswith("data.") and not np.isfinite(numbers).all():
            raise Unavailable(GONE)
        if first:
            offset = self._chunks.tell()
            self._coders[_short(array)] = ArrayCoder(offset, numbers)
        elif numbers.size:
            self.text(b",")
        for piece in numbers_json(numbers):
            self.text(piece)
        self._chunks.write(self._coders[_short(array)].add(numbers))

    def finish(self) -> None:
        """Complete both encodings."""
        page = self._page
        self._fragment.write(self._deflate.flush(zlib.Z_FULL_FLUSH))
        tables = {name: coder.table() for name, coder in self._coders.items()}
        axes = axes_of(page.members, page.arrays)
        self._head = page_head(page.number, page.name, page.unit, page.shape, axes, tables, None)

    def fragment(self) -> Iterator[bytes]:
        """Yield the fragment."""
        return _pieces(self._fragment)

    def arrays(self) -> Iterator[bytes]:
        """Yield the arrays."""
        yield self._head
        yield from _pieces(self._chunks)

    def close(self) -> None:
        """Give the memory and the files back."""
        self._fragment.close()
        self._chunks.close()


def _short(array: str) -> str:
    """Return the name of an array in a page's arrays: that of the values has no prefix."""
    return array.removeprefix("data.")


def _pieces(file: tempfile.SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE):
        yield piece
