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
SLICE = 16 * 2**10
"""Most bytes that are decoded from at a time: empty blocks take long and give nothing."""
MOST_EXCESS = 64 * 2**10
"""Bytes by which a member may be longer than what it holds; names and empty blocks have no end."""
_GZIP_ONLY = 31  # window bits of zlib: a gzip header and trailer, nothing else
_UNKNOWN = "Bodies are sent as they are, or with Content-Encoding: gzip"
_DAMAGED = "The body is not gzip, or is damaged"
_CUT_SHORT = "The body is gzip that is cut short"
_HOLDS_NOTHING = "The body is gzip that is larger than what it holds"
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
    """Return the scope of a request whose body is decoded on the way, to an unknown length."""
    gone = (HEADER.encode(), b"content-length", b"transfer-encoding")
    headers = [pair for pair in scope["headers"] if pair[0] not in gone]
    return {**scope, "headers": [*headers, (b"transfer-encoding", b"chunked")]}


class Inflated:
    """``receive`` of a request, with the body decoded from gzip."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gzip = zlib.decompressobj(_GZIP_ONLY)
        self._coded = b""
        self._more = True
        self._over = False
        self._excess = 0

    async def __call__(self) -> Message:
        """Return the next piece. Raises InvalidRequest for what is not a gzip member."""
        while not self._over:
            if not self._coded and self._more:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._coded, self._more = message.get("body", b""), message.get("more_body", False)
            piece = self._next()
            await asyncio.sleep(0)  # a few bytes may become very many pieces, many may become none
            if piece or self._over:
                return {"type": "http.request", "body": piece, "more_body": not self._over}
        return await self._receive()

    def _next(self) -> bytes:
        coded, rest = self._coded[:SLICE], self._coded[SLICE:]
        try:
            piece = self._gzip.decompress(coded, PIECE)
        except zlib.error:
            raise InvalidRequest(_DAMAGED) from None
        if self._gzip.unused_data:
            raise InvalidRequest(_GOES_ON)
        left = self._gzip.unconsumed_tail
        self._coded = left + rest
        self._excess += len(coded) - len(left) - len(piece)
        if self._excess > MOST_EXCESS:
            raise InvalidRequest(_HOLDS_NOTHING)
        rests = self._more or self._coded or len(piece) == PIECE
        if not rests and not self._gzip.eof:
            raise InvalidRequest(_CUT_SHORT)
        self._over = self._gzip.eof and not self._more and not self._coded
        return piece
