"""Answers stitched from stored pages, which are neither parsed nor compressed again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from kerma_common.errors import Unavailable
from kerma_results.api.layout import PagePiece, Piece, entity, parts
from kerma_results.pages import stitch
from kerma_results.read.queries import PART_BYTES, PartKey, ResultQueries

LOADED_AT_ONCE = 4 * PART_BYTES
ROWS_AT_ONCE = 1000
WHOLE = 128 << 10
"""Bytes of an answer that is sent in one piece: each piece of a stream costs a write."""
_QUALITY = re.compile(r"q=([01](?:\.\d{0,3})?)", re.ASCII)


async def stitched(
    request: Request, queries: ResultQueries, job_id: str, pieces: Sequence[Piece]
) -> Response:
    """Return the answer made of ``pieces``, or 304 when the client has it.

    It is gzip if the client accepts that; the size is known beforehand in either form. Raises
    Unavailable if the results of a small answer have just been deleted.
    """
    zipped = accepts_gzip(request.headers.get("accept-encoding", ""))
    tag = f'"{entity(pieces)}-{"gzip" if zipped else "identity"}"'
    headers = {"ETag": tag, "Vary": "Accept-Encoding", "Cache-Control": "private, no-cache"}
    if holds(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    made = parts(pieces)
    source = _Fragments(queries, job_id)
    if zipped:
        headers |= {"Content-Encoding": "gzip", "Content-Length": str(stitch.gzip_size(made))}
        body = _zipped(source, pieces, stitch.trailer(made))
    else:
        headers |= {"Content-Length": str(sum(part.raw_size for part in made))}
        body = _plain(source, pieces)
    if int(headers["Content-Length"]) <= WHOLE:
        whole = b"".join([chunk async for chunk in body])
        return Response(whole, headers=headers, media_type="application/json")
    return StreamingResponse(body, headers=headers, media_type="application/json")


def reads_whole(request: Request) -> bool:
    """Return whether the bytes of a page are needed, whatever its entity tag is."""
    return "if-none-match" not in request.headers


def accepts_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3)."""
    allowed: dict[str, bool] = {}
    for entry in header.lower().split(","):
        coding, _, weight = entry.partition(";")
        match = _QUALITY.fullmatch(weight.strip())
        allowed[coding.strip()] = match is None or float(match[1]) > 0
    return allowed.get("gzip", allowed.get("x-gzip", allowed.get("*", False)))


def holds(header: str, tag: str) -> bool:
    """Return whether an If-None-Match header names the tag (weak comparison)."""
    tags = {entry.strip().removeprefix("W/") for entry in header.split(",")}
    return tag in tags or "*" in tags


async def _zipped(
    source: _Fragments, pieces: Sequence[Piece], trailer: bytes
) -> AsyncIterator[bytes]:
    yield stitch.HEADER
    async for piece, chunks in source.loaded(pieces):
        if isinstance(piece, bytes):
            yield stitch.stored(piece)
        for chunk in chunks:
            yield chunk
    yield trailer


async def _plain(source: _Fragments, pieces: Sequence[Piece]) -> AsyncIterator[bytes]:
    current, inflater = None, stitch.Inflater()
    async for piece, chunks in source.loaded(pieces):
        if isinstance(piece, bytes):
            yield piece
        elif piece is not current:
            current, inflater = piece, stitch.Inflater()
        for chunk in chunks:
            for raw in inflater.feed(chunk):
                yield raw


@dataclass(frozen=True, slots=True)
class _Fragments:
    """Loads fragments a few MiB ahead, and holds no connection while a client reads."""

    queries: ResultQueries
    job_id: str

    async def loaded(self, pieces: Sequence[Piece]) -> AsyncIterator[tuple[Piece, list[bytes]]]:
        """Yield each piece with the next chunks of its fragment.

        A large page comes several times.
        """
        for group in _groups(pieces):
            keys = [key for _, keys in group for key in keys]
            found = await self.queries.fragments(self.job_id, keys) if keys else {}
            if len(found) != len(keys):
                raise Unavailable("The results have just been deleted")
            for piece, keys in group:
                yield piece, _known(piece) or [found[key] for key in keys]


def _known(piece: Piece) -> list[bytes]:
    """Return the fragment of a page that was read with its row."""
    known = piece.page.fragment if isinstance(piece, PagePiece) else None
    return [known] if known is not None else []


Group = list[tuple[Piece, list[PartKey]]]


def _groups(pieces: Sequence[Piece]) -> Iterator[Group]:
    """Yield pieces with the keys of their rows, in groups of limited size."""
    group: Group = []
    size = rows = 0
    for piece in pieces:
        keys = _keys(piece) if isinstance(piece, PagePiece) else []
        group.append((piece, []))
        for key, bytes_ in keys:
            if rows == ROWS_AT_ONCE or (size and size + bytes_ > LOADED_AT_ONCE):
                yield group
                group, size, rows = [(piece, [])], 0, 0
            group[-1][1].append(key)
            size, rows = size + bytes_, rows + 1
    yield group


def _keys(piece: PagePiece) -> list[tuple[PartKey, int]]:
    """Return the keys and sizes of the rows of a page's fragment."""
    size = piece.page.size
    if piece.page.fragment is not None:
        return []
    return [
        ((piece.estimator, piece.page.number, part), min(PART_BYTES, size - start))
        for part, start in enumerate(range(0, size, PART_BYTES))
    ]
