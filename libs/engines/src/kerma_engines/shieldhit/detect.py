"""Parse ``detect.dat``: blocks of keywords, and detectors of the old format.

A block is a line ``Geometry``, ``Filter``, ``Settings`` or ``Output`` with what belongs to it below.
An old-format detector stands in columns of ten: its shape with six limits, then its numbers of
bins, particle, quantity and file. Zones need no limits: all fields of theirs are on one line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCKS = {"geometry", "filter", "settings", "output"}
_OLD_DETECTORS = re.compile(r"[A-Z-]*(MSH|CYL|ZONE|PLANE|GEOMAP|RZ|MESH)[A-Z-]*")
_WIDTH = 10
_LIMITS_END = 5 * _WIDTH
"""A line with six limits is longer, and a zone's numbers in a block are not."""
_NAMED_AT = 6 * _WIDTH
"""The column at which the file name of an old-format detector begins."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its keyword in lower case, its line, the lines below with their numbers."""

    kind: str
    line: int
    words: list[str]
    below: list[tuple[int, list[str]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OldDetector:
    """An old-format detector: shape, the line that ends with its file, three fields of bins."""

    shape: str
    line: int
    file: str
    bins: tuple[str, ...]


def cards(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield lines without comments, split into words, with their numbers."""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("!")[0].split("#")[0].split()
        if words and not words[0].startswith("*"):
            yield number, words


def blocks(detect: str) -> Iterator[Block]:
    """Yield the blocks in order."""
    block: Block | None = None
    for number, words in cards(detect):
        kind = words[0].lower()
        if kind in _BLOCKS:
            if block is not None:
                yield block
            block = Block(kind, number, words)
        elif block is not None:
            block.below.append((number, words))
    if block is not None:
        yield block


def old_detectors(detect: str) -> Iterator[OldDetector]:
    """Yield the old-format detectors in order."""
    shape = ""
    for number, line in enumerate(detect.splitlines(), start=1):
        if not line.strip() or line.lstrip()[0] in "*#!":
            continue
        words = line.split()
        if shape:
            yield _old_detector(shape, number, line)
            shape = ""
        elif not _OLD_DETECTORS.fullmatch(words[0].upper()) or not line[:_WIDTH].strip():
            continue
        elif _is_numbers(words[1:]) and len(line.rstrip()) > _LIMITS_END:
            shape = words[0].upper()
        elif line[_NAMED_AT:].strip() and _is_numbers(line[_WIDTH : 3 * _WIDTH].split()):
            yield _old_detector(words[0].upper(), number, line)


def _old_detector(shape: str, number: int, line: str) -> OldDetector:
    bins = tuple(line[at : at + _WIDTH].strip() for at in range(_WIDTH, 4 * _WIDTH, _WIDTH))
    return OldDetector(shape, number, line[_NAMED_AT:].strip() or line.split()[-1], bins)


def _is_numbers(words: list[str]) -> bool:
    return bool(words) and all(re.fullmatch(r"[-+.\deEdD]+", word) for word in words)
