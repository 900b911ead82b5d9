"""FLUKA's input files read card by card, apart from the converter, and what is wrong with them.

Names of cards, particles and materials are those of flair's database, which comes with pymchelper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pymchelper
from numpy.typing import NDArray

_DATABASE = Path(pymchelper.__file__).parent / "flair/db/card.ini"
_COLUMNS = range(10, 70, 10)
_OURS = {"TITLE", "GEOEND", "GEOBEGIN", "STOP"}
_NEWER = {"BEAMAXES", "COMPOUND", "LOW-MAT"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([ED][-+]?\d+)?")


@cache
def known_particles() -> frozenset[str]:
    """Names of particles and generalised particles."""
    return frozenset(re.findall(r"^pid\.-?\d+=\s+(\S+)", _DATABASE.read_text(), re.MULTILINE))


@cache
def known_cards() -> frozenset[str]:
    """Keywords, to eight characters."""
    found = re.findall(r"^\[([^\]]+)\]", _DATABASE.read_text(), re.MULTILINE)
    return frozenset(name[:8].upper() for name in found) | _NEWER | _OURS


@dataclass
class Card:
    """Keyword, six fields as text, and what follows in columns 71 to 80."""

    name: str
    whats: list[str]
    text: str

    def number(self, what: int) -> float:
        """Field ``what``, counted from 1; blank is zero."""
        return float(self.whats[what - 1] or 0)


@dataclass
class Deck:
    """A file's cards, geometry apart."""

    cards: list[Card] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)

    def named(self, name: str) -> list[Card]:
        """Cards of a keyword."""
        return [card for card in self.cards if card.name == name]

    def pairs(self, name: str) -> list[tuple[Card, Card]]:
        """Cards of a keyword that come in twos."""
        found = self.named(name)
        assert all("&" in card.text for card in found[1::2]), name
        return list(zip(found[0::2], found[1::2], strict=True))

    def transformation(self, name: str) -> NDArray[np.float64]:
        """What ROT-DEFIni cards of a name do together, shape (4, 4), as flair has it."""
        found = [card for card in self.named("ROT-DEFI") if card.text == name]
        assert found, name
        whole = np.eye(4)
        for card in found:
            axis, index = divmod(round(card.number(1)), 100)
            assert index == 0
            assert card.number(2) == 0
            assert -180 <= card.number(3) <= 180
            moved = np.eye(4)
            moved[:3, 3] = [card.number(4), card.number(5), card.number(6)]
            whole = moved @ whole
            angle = np.radians(card.number(3))
            i, j = [(1, 2), (2, 0), (0, 1)][(axis or 3) - 1]
            turned = np.eye(4)
            turned[i, i] = turned[j, j] = np.cos(angle)
            turned[i, j], turned[j, i] = np.sin(angle), -np.sin(angle)
            whole = turned @ whole
        return whole


def read_deck(text: str) -> Deck:
    """The cards of a file; fails where columns or references are not FLUKA's."""
    deck = Deck()
    part = "cards"
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("*"):
            continue
        word = line.split()[0] if line.strip() else ""
        if part == "cards":
            deck.cards.append(_card(line))
            if word == "TITLE":
                next(lines)
            elif word == "GEOBEGIN":
                next(lines)
                part = "bodies"
        elif word == "END":
            part = {"bodies": "regions", "regions": "cards"}[part]
        elif not line.startswith(" "):
            listed = deck.bodies if part == "bodies" else deck.regions
            listed.append(line.split()[1] if part == "bodies" else word)
        if part == "regions" and word != "END":
            used = re.findall(r"[-+](\w+)", line)
            assert set(used) <= set(deck.bodies), line
    _check(deck)
    return deck


def _card(line: str) -> Card:
    assert len(line) <= 80, line
    found = Card(line[:10].strip(), [line[k : k + 10] for k in _COLUMNS], line[70:].strip())
    for what in found.whats:
        assert what == "" or what.rstrip() == what or not what.strip(), line
    found.whats = [what.strip() for what in found.whats]
    assert all(" " not in what for what in found.whats), line
    assert found.name in known_cards(), line
    return found


def _check(deck: Deck) -> None:
    names = [*deck.bodies, *deck.regions]
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,7}", name) for name in names)
    assert len(set(deck.bodies)) == len(deck.bodies)
    assert len(set(deck.regions)) == len(deck.regions)
    assert {card.whats[1] for card in deck.named("ASSIGNMA")} == set(deck.regions)
    _check_scoring(deck)


def _check_scoring(deck: Deck) -> None:
    detectors: dict[str, str] = {}
    units: dict[float, set[str]] = {}
    for kind in ("USRBIN", "USRTRACK"):
        for first, second in deck.pairs(kind):
            assert first.whats[1] in known_particles(), first
            assert -99 <= first.number(3) <= -21
            assert 0 < len(first.text) <= 8
            assert first.text not in detectors
            detectors[first.text] = kind
            units.setdefault(first.number(3), set()).add(kind)
            _check_detector(deck, kind, first, second)
    assert all(len(kinds) == 1 for kinds in units.values())
    for card in deck.named("AUXSCORE"):
        assert detectors[card.whats[3]] == detectors[card.whats[4]] == card.whats[0]
        particle = card.whats[1]
        if particle not in known_particles():
            assert _NUMBER.fullmatch(particle)
            assert -float(particle) >= 100
    for card in deck.named("ROTPRBIN"):
        assert detectors[card.whats[3]] == "USRBIN"
        assert card.whats[1] in {turn.text for turn in deck.named("ROT-DEFI")}


def _check_detector(deck: Deck, kind: str, first: Card, second: Card) -> None:
    if kind == "USRTRACK":
        assert first.number(1) in (1, -1)
        assert first.whats[3] in deck.regions
        assert first.number(5) > 0
        assert first.number(6) >= 1
        assert second.number(1) > second.number(2) >= 0
    elif first.number(1) == 12:
        assert deck.regions.index(second.whats[0]) <= deck.regions.index(first.whats[3])
        assert second.number(4) == 1
    else:
        assert first.number(1) in (10, 11)
        for axis in (0, 2):
            assert second.number(axis + 1) < first.number(axis + 4)
        assert all(second.number(what) >= 1 for what in (4, 5, 6))
