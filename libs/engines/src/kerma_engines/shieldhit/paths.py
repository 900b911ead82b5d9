"""Files named in SHIELD-HIT12A's inputs: which may be read, and what old-format detectors write.

USECBEAM and USEBMOD in ``beam.dat`` and LOADDEDX in ``mat.dat`` name files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.files import why_not_beside, why_not_given
from kerma_engines.errors import Problem
from kerma_engines.shieldhit.detect import cards, old_detectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_READ = {"beam.dat": {"USECBEAM": 1, "USEBMOD": 2}, "mat.dat": {"LOADDEDX": 1}}
"""The position of the word that names a file, counted after the card's name."""


def path_problems(files: Mapping[str, str]) -> Iterator[Problem]:
    """Return the names in an input that SHIELD-HIT12A may not open."""
    for name in ("beam.dat", "mat.dat"):
        for number, words in cards(files.get(name, "")):
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
    for number, words in cards(files.get("geo.dat", "")):
        if number > 1:  # the first line is a title
            yield from _strange_paths(f"geo.dat:{number}", ["a line", *words])
    detect = files.get("detect.dat", "")
    written = {known.line: known.file for known in old_detectors(detect)}
    for number, words in cards(detect):
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
