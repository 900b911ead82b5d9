"""Compressed JSON columns: gzip of UTF-8 text, which may be damaged, huge, or no JSON at all."""

from __future__ import annotations

import json
import zlib
from typing import Any

import orjson

MOST_COMPRESSED = 128 << 20
"""Bytes of a column that are read."""
MOST_TEXT = 128 << 20
"""Bytes that a column may have when it is decompressed."""
_GZIP = 16 + zlib.MAX_WBITS


class BadDocument(ValueError):  # noqa: N818 - says what is wrong
    """A column that holds no readable document; the text says why."""


def text_of(column: bytes | None) -> bytes:
    """Return the JSON text of a column; an empty column holds null. Raises BadDocument."""
    if column is None:
        return b"null"
    stream = zlib.decompressobj(_GZIP)
    try:
        text = stream.decompress(column, MOST_TEXT)
    except zlib.error:
        raise BadDocument("is not gzip") from None
    if stream.unconsumed_tail or (not stream.eof and len(text) == MOST_TEXT):
        raise BadDocument(f"has more than {MOST_TEXT >> 20} MiB when it is decompressed")
    if not stream.eof:
        raise BadDocument("is cut short")
    return text


def parsed(text: bytes) -> tuple[Any, bytes]:
    """Return a document, and its text as every reader accepts it. Raises BadDocument.

    That is the text itself, unless it holds what Python writes and JSON does not know: NaN and
    infinities become null, halves of surrogate pairs become question marks.
    """
    try:
        return orjson.loads(text), text
    except orjson.JSONDecodeError:
        pass
    try:
        found = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        kept = json.dumps(found, allow_nan=False, ensure_ascii=False).encode(errors="replace")
        return orjson.loads(kept), kept
    except (ValueError, RecursionError):
        raise BadDocument("is not JSON") from None


def _finite(number: str) -> float | None:
    value = float(number)
    return value if abs(value) != float("inf") else None
