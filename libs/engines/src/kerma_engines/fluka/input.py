"""Parse cards of users' FLUKA inputs, in fixed columns and free format.

After the FLUKA manual: chapter 6 (columns: A8, 2X, 6E10.0, A8; comments), 6.1 (preprocessor), and
the cards FREE, FIXED, GLOBAL, TITLE, OPEN, GEOBEGIN. In free format, fields are separated by
blanks, or by one of ``, ; : / \\`` with or without blanks around it; two of the latter with nothing
between them enclose the value 0.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.adapter.conversion import fixed
from kerma_engines.adapter.files import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SEPARATOR = re.compile(r"\s*[,;:/\\]\s*|\s+")
FILE_NAME = "#file"
"""The pseudo keyword of a line that names a file."""

_FREE_INPUT = (2.0, 3.0)
"""WHAT(4) of GLOBAL: free format, free format with names."""


@dataclass(frozen=True, slots=True)
class Card:
    """A card in effect: keyword (8 letters), six WHATs, SDUM; ``line`` counts from 0.

    Empty fields are "". ``included`` says that a file other than the input contains it.
    """

    name: str
    whats: tuple[str, ...]
    sdum: str
    file: str
    line: int
    text: str
    free: bool
    included: bool = False
    opener: Card | None = None
    """For a line with the name of a file: the card that needs it."""

    @property
    def place(self) -> str:
        """``<file>:<line>``, with lines counted as editors do."""
        return f"{self.file}:{self.line + 1}"

    @property
    def continues(self) -> bool:
        """Whether it is the second card of a detector."""
        return "&" in self.sdum or (self.free and any("&" in what for what in self.whats))

    def number(self, what: int) -> float | None:
        """Return WHAT(``what``), 0 where it is empty; None when it is a name or not a number."""
        return number(self.whats[what - 1])

    def with_what(self, what: int, value: int) -> str:
        """Return the line with a whole number in WHAT(``what``) and everything else unchanged."""
        body, comment = _split(self.text)
        if not self.free:
            start = 10 * what
            written = f"{body[:start]:<{start}}{fixed(value, 10):>10}{body[start + 10 :]}"
            return f"{written.rstrip(' ')}{comment}" if not comment.strip() else written + comment
        places = _places(body)
        if what < len(places):
            first, last = places[what]
            return f"{body[:first]}{value}.{body[last:]}{comment}"
        end = len(body.rstrip())
        # with commas: a blank after a separator at the end of the card would not count
        missing = "".join([", 0.0"] * (what - len(places)) + [f", {value}."])
        return f"{body[:end]}{missing}{body[end:]}{comment}"


def input_name(files: Mapping[str, str]) -> str:
    """Return the name of the one input file of an accepted or converted set."""
    return next(name for name in files if name.lower().endswith(".inp"))


def number(text: str) -> float | None:
    """Parse a number as FORTRAN does; an empty field is 0."""
    try:
        return float(text.upper().replace("D", "E") or 0.0)
    except ValueError:
        return None


def cards(files: Mapping[str, str], name: str) -> Iterator[Card]:
    """Return the cards of the input ``name`` that take effect, in order.

    Cards after STOP, in comments, or in conditions that don't hold have no effect. Of the geometry,
    only VOXELS is returned, whose SDUM names a file.
    An included file that is missing from ``files`` or already included is a card ``#include``. The
    line after OPEN or GEOBEGIN that names a file is a card ``FILE_NAME``.
    """
    yield from _Reader(files).read(name)


@dataclass(slots=True)
class _Reader:
    """The state in force while lines are read."""

    files: Mapping[str, str]
    defined: set[str] = field(default_factory=set)
    conditions: list[tuple[bool, bool]] = field(default_factory=list)
    """For each open #if: whether its lines count now, and whether any of its branches has."""
    seen: set[str] = field(default_factory=set)
    """Files already begun: each is read once, or reading might not end."""
    free: bool = False
    geometry: bool = False
    title: bool = False
    openers: list[Card] = field(default_factory=list)
    """Cards whose next lines name files, one entry for each such line."""
    stopped: bool = False

    def read(self, name: str) -> Iterator[Card]:
        inner = bool(self.seen)
        self.seen.add(name)
        for index, line in enumerate(lines_of(self.files[name])):
            if line.startswith("#"):
                included = self._directive(line)
                if included in self.files and included not in self.seen:
                    yield from self.read(included)
                elif included:
                    place = (included, name, index, line, self.free, inner)
                    yield Card("#include", ("",) * 6, *place)
            elif all(now for now, _ in self.conditions):
                card = self._card(line, name, index, included=inner)
                if card is not None:
                    yield card
            if self.stopped:
                return

    def _directive(self, line: str) -> str:
        """Execute a preprocessor line; return the name of a file to include, or ""."""
        words = line[1:].split()
        word, name = (*words, "", "")[:2]
        word = word.lower()
        if word in ("if", "elif", "else", "endif"):
            self._condition(word, name)
        elif all(now for now, _ in self.conditions):
            if word == "define":
                self.defined.add(name)
            elif word == "undef":
                self.defined.discard(name)
            elif word == "include":
                return name.strip("\"'")
        return ""

    def _condition(self, word: str, name: str) -> None:
        if word == "if":
            holds = name in self.defined
            self.conditions.append((holds, holds))
        elif self.conditions:
            _, done = self.conditions.pop()
            if word != "endif":
                now = not done and (word == "else" or name in self.defined)
                self.conditions.append((now, done or now))

    def _card(self, line: str, name: str, index: int, *, included: bool) -> Card | None:
        if self.title:
            self.title = False  # the line after TITLE, whatever it looks like
            return None
        if self.openers:
            opener = self.openers.pop(0)
            place = (name, index, line, False, included)
            return Card(FILE_NAME, opener.whats, line.strip(), *place, opener)
        body, _ = _split(line)
        if line.startswith("*") or not body.strip():
            return None
        keyword = _SEPARATOR.split(body.lstrip(), maxsplit=1)[0][:8].upper()
        free = self.free or not _in_columns(body)
        whats, sdum = _fields(body, free=free)
        card = Card(keyword, whats, sdum, name, index, line, free, included)
        if self.geometry:
            self.geometry = keyword != "GEOEND"
            return card if keyword == "VOXELS" else None
        if keyword == "STOP":
            self.stopped = True
            return None
        self._obey(card)
        return card

    def _obey(self, card: Card) -> None:
        if card.name in ("FREE", "FIXED"):
            self.free = card.name == "FREE"
        elif card.name == "GLOBAL":
            self.free = self.free or card.number(4) in _FREE_INPUT
        self.geometry = card.name == "GEOBEGIN"
        self.title = card.name == "TITLE"
        self.openers = [card] * _files_behind(card)


def _files_behind(card: Card) -> int:
    """Return how many lines with names of files follow a card."""
    if card.name == "OPEN":
        return int(card.sdum != "SCRATCH")
    if card.name == "GEOBEGIN":
        read_from, written_to = card.number(3), card.number(4)
        return int(read_from not in (0.0, 5.0)) + int(written_to not in (0.0, 11.0))
    return 0


def _split(line: str) -> tuple[str, str]:
    """Return the line and the rest: a comment after ``!``, the end of the line."""
    body = line.split("!", 1)[0].rstrip("\r\n")
    return body, line[len(body) :]


def _in_columns(body: str) -> bool:
    """Return whether a card is in fixed columns: only its name in the first ten, no separators."""
    return len(body[:10].split()) == 1 and not re.search(r"[,;:/\\]", body[:70])


def _places(body: str) -> list[tuple[int, int]]:
    """Return where the fields of a card in free format begin and end, the keyword first."""
    start, end = len(body) - len(body.lstrip()), len(body.rstrip())
    places = []
    for found in _SEPARATOR.finditer(body, start, end):
        places.append((start, found.start()))
        start = found.end()
    return [*places, (start, end)]


def _fields(body: str, *, free: bool) -> tuple[tuple[str, ...], str]:
    """Return six WHATs and SDUM."""
    if not free:
        whats = tuple(body[start : start + 10].strip() for start in range(10, 70, 10))
        return whats, body[70:80].strip()
    words = [body[first:last] for first, last in _places(body)[1:]]
    padded = (*words, *[""] * 6)[:6]
    return padded, " ".join(words[6:])
