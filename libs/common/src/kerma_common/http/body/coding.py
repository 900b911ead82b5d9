"""Content codings of request bodies: gzip and none (RFC 9110, 8.4; RFC 1952).

A body is decoded piece by piece as it arrives, and its limits count decoded bytes. So a body that
grows without end is refused when it exceeds its limit, and was never larger in memory.
"""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from kerma_common.errors import InvalidRequest, UnsupportedMediaType
from kerma_common.http.origin import SAFE

HEADER = "content-encoding"
GZIP = frozenset({"gzip", "x-gzip"})
PIECE = 64 * 2**10
"""Most bytes that are decoded at a time."""
_GZIP_ONLY = 31  # window bits of zlib: a gzip header and trailer, nothing else
_UNKNOWN = "Bodies are sent as they are, or with Content-Encoding: gzip"
_DAMAGED = "The body is not gzip, or is damaged"
_CUT_SHORT = "The body is gzip that is cut short"
_GOES_ON = "The body goes on after its gzip member"


def is_gzip(scope: Scope) -> bool:
    """Return whether the body of a request is gzip. Raises UnsupportedMediaType."""
    if scope["method"] in SAFE:
        return False
    codings = ", ".join(Headers(scope=scope).getlist(HEADER)).strip().lower()
    if codings not in GZIP | {"", "identity"}:
        raise UnsupportedMediaType(_UNKNOWN)
    return codings in GZIP


def decoded_scope(scope: Scope) -> Scope:
    """Return the scope of a request whose body is decoded on the way."""
    gone = (HEADER.encode(), b"content-length")
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in gone]}


class Inflated:
    """``receive`` of a request, with the body decoded from gzip."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gzip = zlib.decompressobj(_GZIP_ONLY)
        self._more = True
        self._over = False

    async def __call__(self) -> Message:
        """Return the next piece. Raises InvalidRequest for what is not a gzip member."""
        while not self._over:
            coded = self._gzip.unconsumed_tail
            if not coded and self._more:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                coded, self._more = message.get("body", b""), message.get("more_body", False)
            piece = self._next(coded)
            if piece or self._over:
                await asyncio.sleep(0)  # a few bytes may become very many pieces
                return {"type": "http.request", "body": piece, "more_body": not self._over}
        return await self._receive()

    def _next(self, coded: bytes) -> bytes:
        try:
            piece = self._gzip.decompress(coded, PIECE)
        except zlib.error:
            raise InvalidRequest(_DAMAGED) from None
        if self._gzip.unused_data:
            raise InvalidRequest(_GOES_ON)
        rests = self._more or self._gzip.unconsumed_tail or len(piece) == PIECE
        if not rests and not self._gzip.eof:
            raise InvalidRequest(_CUT_SHORT)
        self._over = self._gzip.eof and not self._more
        return piece
