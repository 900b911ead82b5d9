"""Files that FLUKA inputs name: which may be read and written.

The lines after OPEN and GEOBEGIN name files (FLUKA manual, cards OPEN and GEOBEGIN). FLUKA runs in
a directory below the one with the input, so it sees an input file as ``../NAME``, or as ``NAME``
where rfluka links it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.files import why_not_beside, why_not_given
from kerma_engines.errors import Problem
from kerma_engines.fluka.input import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kerma_engines.fluka.input import Card

_READ_ONLY = ("OLD", "READONLY")


def path_problems(found: Iterable[Card], files: Mapping[str, str]) -> Iterator[Problem]:
    """Return the names of files that FLUKA may not open."""
    for card in found:
        if card.name == FILE_NAME and card.opener is not None:
            if reason := _why_not(card.sdum, card.opener, files):
                shown = repr(card.sdum[:64])
                yield Problem(card.place, f"{card.opener.name} names {shown}, which {reason}")
        elif card.name not in ("TITLE", "#include") and card.sdum:
            reason = why_not_beside(card.sdum.split()[0])
            if reason and reason != "is no plain file name":
                yield Problem(card.place, f"{card.name} holds {card.sdum[:64]!r}, which {reason}")


def _why_not(name: str, opener: Card, files: Mapping[str, str]) -> str:
    """Return why a file is not opened, or ""."""
    reads = opener.name == "GEOBEGIN" or opener.sdum.upper() in _READ_ONLY
    beside = name.removeprefix("../")
    if reads and beside in files:
        return ""
    return why_not_given(name, files) if reads else why_not_beside(name)
