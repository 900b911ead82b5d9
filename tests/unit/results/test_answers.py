"""Answers stitched from pieces, and the encodings that clients accept."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from kerma_results.api import layout
from kerma_results.api.layout import PagePiece
from kerma_results.api.stitched import accepts_gzip, holds
from kerma_results.pages import stitch
from kerma_results.read.queries import StoredEstimator, StoredPage

BODY = b'{"n":1}'
FRAGMENT = stitch.make_fragment(BODY)
PAGE = StoredPage(0, "DOSE", 1, "ab" * 32, len(FRAGMENT.body), FRAGMENT.crc32, FRAGMENT.raw_size)
FIRST = StoredEstimator(0, "a <b>", b'{"k":"v"}', (PAGE, replace(PAGE, number=1)))
SECOND = StoredEstimator(1, "none", b"{}", ())


def told(pieces: tuple[layout.Piece, ...]) -> object:
    """Return what a client reads, in either encoding."""
    plain = b"".join(piece if isinstance(piece, bytes) else BODY for piece in pieces)
    parts = layout.parts(pieces)
    zipped = [
        stitch.stored(piece) if isinstance(piece, bytes) else FRAGMENT.body for piece in pieces
    ]
    whole = b"".join([stitch.HEADER, *zipped, stitch.trailer(parts)])
    assert gzip.decompress(whole) == plain
    assert len(whole) == stitch.gzip_size(parts)
    assert len(plain) == sum(part.raw_size for part in parts)
    return json.loads(plain)


def test_shapes() -> None:
    one = {"metadata": {"k": "v"}, "name": "a <b>", "pages": [{"n": 1}, {"n": 1}]}
    none = {"metadata": {}, "name": "none", "pages": []}
    whole = layout.whole([FIRST, SECOND], "it's")
    assert told(whole) == {"estimators": [one, none], "message": "it's"}
    assert told(layout.one_estimator(FIRST, "m")) == {**one, "message": "m"}
    assert told(layout.one_page(FIRST, PAGE, "m")) == {"message": "m", "page": {"n": 1}}
    assert told(layout.some_pages([FIRST], "m")) == {"message": "m", "pages": [{"n": 1}] * 2}
    assert told(layout.some_pages([], "m")) == {"message": "m", "pages": []}
    assert sum(isinstance(piece, PagePiece) for piece in whole) == 2
    assert len(whole) == 5  # texts between pages are merged


def test_the_entity_changes_with_any_part() -> None:
    other = replace(FIRST, pages=(replace(PAGE, sha256="cd" * 32), FIRST.pages[1]))
    answers = [
        layout.one_estimator(FIRST, "m"),
        layout.one_estimator(FIRST, "n"),
        layout.one_estimator(other, "m"),
        layout.one_estimator(replace(FIRST, metadata=b"{}"), "m"),
        layout.some_pages([FIRST], "m"),
    ]
    assert len({layout.entity(answer) for answer in answers}) == len(answers)
    assert layout.entity(answers[0]) == layout.entity(layout.one_estimator(FIRST, "m"))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("deflate, br", False),
        ("gzip;q=0, *", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("x-gzip", True),
    ],
)
def test_who_takes_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("header", "held"),
    [('"t"', True), ('W/"t"', True), ('"a", "t"', True), ("*", True), ("", False), ('"tt"', False)],
)
def test_who_has_it(header: str, held: bool) -> None:
    assert holds(header, '"t"') is held
