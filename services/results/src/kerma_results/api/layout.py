"""An answer as a sequence of pieces: text and stored pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from kerma_results.pages.stitch import Part, literal
from kerma_results.read.queries import StoredEstimator, StoredPage


@dataclass(frozen=True, slots=True)
class PagePiece:
    """A stored page of an estimator."""

    estimator: int
    page: StoredPage


Piece = bytes | PagePiece


def whole(estimators: Sequence[StoredEstimator], message: str) -> tuple[Piece, ...]:
    """``{"estimators": [{"metadata", "name", "pages"} ...], "message"}``."""
    pieces: list[Piece] = [b'{"estimators":[']
    for place, estimator in enumerate(estimators):
        pieces += [b",{" if place else b"{", *_estimator(estimator), b"}"]
    return _joined((*pieces, b'],"message":', _text(message), b"}"))


def one_estimator(estimator: StoredEstimator, message: str) -> tuple[Piece, ...]:
    """``{"message", "metadata", "name", "pages"}``."""
    return _joined((b'{"message":', _text(message), b",", *_estimator(estimator), b"}"))


def one_page(estimator: StoredEstimator, page: StoredPage, message: str) -> tuple[Piece, ...]:
    """``{"message", "page"}``."""
    pieces = (b'{"message":', _text(message), b',"page":', PagePiece(estimator.index, page), b"}")
    return _joined(pieces)


def some_pages(estimators: Sequence[StoredEstimator], message: str) -> tuple[Piece, ...]:
    """``{"message", "pages"}`` of at most one estimator."""
    pages = [piece for estimator in estimators for piece in _pages(estimator)]
    return _joined((b'{"message":', _text(message), b',"pages":[', *pages, b"]}"))


def native_estimator(estimator: StoredEstimator) -> tuple[Piece, ...]:
    """``{"metadata", "name", "pages", "number"}``."""
    number = b',"number":%d}' % estimator.index
    return _joined((b"{", *_estimator(estimator), number))


def native_page(estimator: StoredEstimator, page: StoredPage) -> tuple[Piece, ...]:
    """Return a page and nothing else."""
    return (PagePiece(estimator.index, page),)


def _estimator(estimator: StoredEstimator) -> Iterable[Piece]:
    yield b'"metadata":' + estimator.metadata + b',"name":' + orjson.dumps(estimator.name)
    yield b',"pages":['
    yield from _pages(estimator)
    yield b"]"


def _pages(estimator: StoredEstimator) -> Iterable[Piece]:
    for place, page in enumerate(estimator.pages):
        if place:
            yield b","
        yield PagePiece(estimator.index, page)


def _text(message: str) -> bytes:
    return orjson.dumps(message)


def _joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Merge neighbouring texts."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            joined[-1] = last + piece
        else:
            joined.append(piece)
    return tuple(joined)


def parts(pieces: Iterable[Piece]) -> list[Part]:
    """Return the pieces as parts of one gzip member."""
    return [
        literal(piece)
        if isinstance(piece, bytes)
        else Part(piece.page.crc32, piece.page.raw_size, piece.page.size)
        for piece in pieces
    ]


def entity(pieces: Iterable[Piece]) -> str:
    """Return a hash that changes whenever the text of the answer does; computed from rows only."""
    digest = hashlib.sha256()
    for piece in pieces:
        known = piece if isinstance(piece, bytes) else bytes.fromhex(piece.page.sha256)
        digest.update(len(known).to_bytes(8, "big") + known)
    return digest.hexdigest()[:32]
