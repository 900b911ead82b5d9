"""Files named in SHIELD-HIT12A's inputs: which may be read, and what old-format detectors write.

USECBEAM and USEBMOD in ``beam.dat`` and LOADDEDX in ``mat.dat`` name files. Old-format detectors
take two lines in columns of ten; the last column of the second names the result file.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from kerma_engines.adapter.files import why_not_beside, why_not_given
from kerma_engines.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_READ = {"beam.dat": {"USECBEAM": 1, "USEBMOD": 2}, "mat.dat": {"LOADDEDX": 1}}
"""The position of the word that names a file, counted after the card's name."""

_OLD_DETECTORS = re.compile(r"[A-Z-]*(MSH|CYL|ZONE|PLANE|GEOMAP|RZ|MESH)[A-Z-]*")
_NAMED_AT = 60
"""The column at which the file name of an old-format detector begins."""


def path_problems(files: Mapping[str, str]) -> Iterator[Problem]:
    """Return the names in an input that SHIELD-HIT12A may not open."""
    for name in ("beam.dat", "mat.dat"):
        for number, words in _cards(files.get(name, "")):
            place = f"{name}:{number}"
            at = _READ[name].get(words[0].upper(), 0)
            if at and len(words) > at:
                if reason := why_not_given(words[at], files):
                    yield Problem(place, f"{words[0]} names {words[at][:64]!r}, which {reason}")
                continue
            yield from _strange_paths(place, words)
    yield from _other_lines(files)


def _other_lines(files: Mapping[str, str]) -> Iterator[Problem]:
    """Yield paths in geometry and detectors, and files of old-format detectors."""
    for number, words in _cards(files.get("geo.dat", "")):
        if number > 1:  # the first line is a title
            yield from _strange_paths(f"geo.dat:{number}", ["a line", *words])
    written = dict(old_detectors(files.get("detect.dat", "")))
    for number, words in _cards(files.get("detect.dat", "")):
        # the file of an Output block is checked with the block
        if number not in written and words[0].lower() != "filename":
            yield from _strange_paths(f"detect.dat:{number}", ["a line", *words])
    for number, name in written.items():
        if reason := why_not_beside(name):
            yield Problem(f"detect.dat:{number}", f"writes to {name[:64]!r}, which {reason}")


def _strange_paths(place: str, words: list[str]) -> Iterator[Problem]:
    """Yield words of any other card that lead out of the work folder."""
    for word in words[1:]:
        reason = why_not_beside(word)
        if reason and reason != "is no plain file name":
            yield Problem(place, f"{words[0]} holds {word[:64]!r}, which {reason}")


def _cards(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield lines without comments, split into words, with their numbers."""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("!")[0].split("#")[0].split()
        if words and not words[0].startswith("*"):
            yield number, words


def old_detectors(detect: str) -> Iterator[tuple[int, str]]:
    """Yield the line and result file name of every old-format detector."""
    lines = [
        (number, line)
        for number, line in enumerate(detect.splitlines(), start=1)
        if line.strip() and line.lstrip()[0] not in "*#!"
    ]
    for (_, first), (number, second) in pairwise(lines):
        words = first.split()
        if _OLD_DETECTORS.fullmatch(words[0].upper()) and _is_numbers(words[1:]):
            last = second.split()[-1]
            yield number, second[_NAMED_AT:].strip() or last


def _is_numbers(words: list[str]) -> bool:
    return bool(words) and all(re.fullmatch(r"[-+.\deEdD]+", word) for word in words)
