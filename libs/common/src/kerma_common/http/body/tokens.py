"""Numbers that are not finite, in JSON that knows none.

Python and others write ``NaN``, ``Infinity`` and ``-Infinity`` where JSON has no word. ``Tokens`` makes
texts of them, which no delivery can hold otherwise: a NUL is refused in every other text. A JSON parser
reads them, and ``NOT_FINITE`` says what they stand for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

NOT_FINITE: Mapping[str, float] = MappingProxyType(
    {"\0NaN": math.nan, "\0Infinity": math.inf, "\0-Infinity": -math.inf}
)
_WORD = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|-?Infinity|NaN', re.DOTALL)
"""A text, of which the first group is the end, or one of the words."""
_REST = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)
_UNFINISHED = re.compile(rb"-?[A-Za-z]*\Z")
_LONGEST = 9


class Tokens:
    """Filter of a body that comes in pieces."""

    def __init__(self) -> None:
        self._held = b""
        self._in_text = False

    def feed(self, piece: bytes) -> bytes:
        """Return the next bytes; a word or an escape that is not complete is held until it is."""
        piece, self._held = self._held + piece, b""
        if not self._in_text and not any(sign in piece for sign in (b'"', b"N", b"I")):
            return self._without_unfinished(piece)  # nothing but numbers, as most of a body
        escapes = len(piece) - len(piece.rstrip(b"\\"))
        if escapes % 2:
            piece, self._held = piece[:-1], b"\\"
        start = 0
        if self._in_text:
            found = _REST.match(piece)
            assert found is not None
            self._in_text, start = not found[1], found.end()
        done = piece[:start] + _WORD.sub(self._replaced, piece[start:])
        return done if self._in_text or self._held else self._without_unfinished(done)

    def end(self) -> bytes:
        """Return what is held."""
        return _WORD.sub(self._replaced, self._held)

    def _replaced(self, found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            return b'"\\u0000%b"' % found[0]
        self._in_text = not found[1]
        return found[0]

    def _without_unfinished(self, piece: bytes) -> bytes:
        found = _UNFINISHED.search(piece, max(0, len(piece) - _LONGEST))
        assert found is not None
        self._held = found[0]
        return piece[: found.start()]
